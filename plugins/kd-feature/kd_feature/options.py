"""The options of this plugin's distillers. Imports no torch.

Weights and settings are those of RepDistiller's scripts, the CIFAR-100 recipes that later papers compare with. One
group of authors made its table of methods, and checked it with the authors of several methods.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kdcore import DistillerOptions

_Stage = Annotated[int, Field(strict=True, ge=1, le=4)] | Annotated[str, Field(min_length=1)]
StageChoice = _Stage | tuple[_Stage, _Stage]
"""A stage of both models, or a pair: the student's and the teacher's."""

Stages = Annotated[tuple[StageChoice, ...], Field(min_length=1)]

_STAGES = (
    "Stages whose maps are compared, each 1..4 or a module path; a pair [student's, teacher's] if they differ. "
    "The terms of several stages are added"
)
_ALL: tuple[StageChoice, ...] = (1, 2, 3, 4)
_DIM = (
    "Output width of the two trained linear heads, one for the student's embedding and one for the teacher's."
)


class FitNetOptions(DistillerOptions):
    """FitNet (Romero et al., ICLR 2015) in one training stage with the task, as in RepDistiller and mdistiller."""

    weight: float = Field(default=100.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=(2,), description=_STAGES + ".")
    regressor: Literal["auto", "conv", "linear"] = Field(
        default="auto",
        description="The layers between the student's map and the teacher's. 'conv': a convolution with batch norm and "
        "ReLU (RepDistiller). 'linear': only the convolution, for teachers whose maps have negative values, such as "
        "ConvNeXt, Swin and MobileNetV2. 'auto': 'linear' for teachers of tokens on one grid (ViT, Mixer), otherwise "
        "'conv'.",
    )


class ATOptions(DistillerOptions):
    """AT, attention transfer (Zagoruyko and Komodakis, ICLR 2017)."""

    weight: float = Field(default=1000.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")
    power: float = Field(
        default=2.0,
        ge=1,
        description="The attention of a position is the mean over the channels of |value| to this power.",
    )


class NSTOptions(DistillerOptions):
    """NST, neuron selectivity transfer (Huang and Wang, 2017), with the polynomial kernel."""

    weight: float = Field(default=50.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")


class VIDOptions(DistillerOptions):
    """VID, variational information distillation (Ahn et al., CVPR 2019)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")
    initial_variance: float = Field(
        default=5.0, gt=1e-3, description="Variance of every teacher channel at the start; it is trained."
    )


class SPOptions(DistillerOptions):
    """SP, similarity-preserving distillation (Tung and Mori, ICCV 2019)."""

    weight: float = Field(default=3000.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=(4,), description=_STAGES + ".")


class RKDOptions(DistillerOptions):
    """RKD, relational distillation (Park et al., CVPR 2019)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    distance_weight: float = Field(
        default=25.0,
        ge=0,
        description="Factor of the term of distances between two samples; 0 leaves it out.",
    )
    angle_weight: float = Field(
        default=50.0, ge=0, description="Factor of the term of angles between three samples; 0 leaves it out."
    )


class PKTOptions(DistillerOptions):
    """PKT, probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018)."""

    weight: float = Field(default=30000.0, ge=0, description="Factor of the loss term.")


class CCOptions(DistillerOptions):
    """CC, correlation congruence (Peng et al., ICCV 2019), in the form that its authors gave to RepDistiller."""

    weight: float = Field(default=0.02, ge=0, description="Factor of the loss term.")
    dim: int = Field(default=128, ge=1, description=_DIM)


class CRDOptions(DistillerOptions):
    """CRD, contrastive representation distillation (Tian et al., ICLR 2020)."""

    weight: float = Field(default=0.8, ge=0, description="Factor of the loss term.")
    dim: int = Field(default=128, ge=1, description=_DIM)
    negatives: int = Field(
        default=16384,
        ge=1,
        description="Number of samples of other classes that each sample is compared with. If fewer training samples "
        "are outside the largest class, this smaller number is used.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities of embeddings.")
    momentum: float = Field(
        default=0.5, ge=0, le=1, description="The part of a sample's row in the memory that an update keeps."
    )
