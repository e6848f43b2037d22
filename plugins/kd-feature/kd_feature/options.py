"""The options of this plugin's distillers. Imports no torch.

Weights and settings are those of RepDistiller's scripts, which are the CIFAR-100 recipes that later papers compare
with: its table of methods is by one group of authors, checked with several of the methods' own.
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
    "Stages whose maps are compared, each 1..4 or a module path; a pair [student's, teacher's] where they differ. "
    "The terms of several stages are added"
)
_ALL: tuple[StageChoice, ...] = (1, 2, 3, 4)
_DIM = "Width of the space into which a trained linear head each takes the embeddings of student and teacher."


class FitNetOptions(DistillerOptions):
    """FitNet (Romero et al., ICLR 2015) in one stage, jointly with the task, as RepDistiller and mdistiller do."""

    weight: float = Field(default=100.0, ge=0, description="Factor over the loss term.")
    stages: Stages = Field(default=(2,), description=_STAGES + ".")
    regressor: Literal["auto", "conv", "linear"] = Field(
        default="auto",
        description="What takes the student's map to the teacher's: 'conv', a convolution with batch norm and ReLU "
        "(RepDistiller); 'linear', the convolution alone, for teachers whose maps have negative values, "
        "such as ConvNeXt, Swin and MobileNetV2; 'auto', 'linear' for teachers of tokens on one grid (ViT, Mixer), "
        "else 'conv'.",
    )


class ATOptions(DistillerOptions):
    """AT, attention transfer (Zagoruyko and Komodakis, ICLR 2017)."""

    weight: float = Field(default=1000.0, ge=0, description="Factor over the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")
    power: float = Field(
        default=2.0,
        ge=1,
        description="A place's attention is the mean over the channels of |value| to this power.",
    )


class NSTOptions(DistillerOptions):
    """NST, neuron selectivity transfer (Huang and Wang, 2017), with the polynomial kernel."""

    weight: float = Field(default=50.0, ge=0, description="Factor over the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")


class VIDOptions(DistillerOptions):
    """VID, variational information distillation (Ahn et al., CVPR 2019)."""

    weight: float = Field(default=1.0, ge=0, description="Factor over the loss term.")
    stages: Stages = Field(default=_ALL, description=_STAGES + ".")
    initial_variance: float = Field(
        default=5.0, gt=1e-3, description="Variance of every teacher channel at the start; it is trained."
    )


class SPOptions(DistillerOptions):
    """SP, similarity-preserving distillation (Tung and Mori, ICCV 2019)."""

    weight: float = Field(default=3000.0, ge=0, description="Factor over the loss term.")
    stages: Stages = Field(default=(4,), description=_STAGES + ".")


class RKDOptions(DistillerOptions):
    """RKD, relational distillation (Park et al., CVPR 2019)."""

    weight: float = Field(default=1.0, ge=0, description="Factor over both loss terms.")
    distance_weight: float = Field(
        default=25.0, ge=0, description="Factor of the distances between two samples."
    )
    angle_weight: float = Field(
        default=50.0, ge=0, description="Factor of the angles between three samples; 0 leaves them out."
    )


class PKTOptions(DistillerOptions):
    """PKT, probabilistic knowledge transfer (Passalis and Tefas, ECCV 2018)."""

    weight: float = Field(default=30000.0, ge=0, description="Factor over the loss term.")


class CCOptions(DistillerOptions):
    """CC, correlation congruence (Peng et al., ICCV 2019), in the form that its authors gave to RepDistiller."""

    weight: float = Field(default=0.02, ge=0, description="Factor over the loss term.")
    dim: int = Field(default=128, ge=1, description=_DIM)


class CRDOptions(DistillerOptions):
    """CRD, contrastive representation distillation (Tian et al., ICLR 2020)."""

    weight: float = Field(default=0.8, ge=0, description="Factor over the loss term.")
    dim: int = Field(default=128, ge=1, description=_DIM)
    negatives: int = Field(
        default=16384,
        ge=1,
        description="Samples of other classes that each sample is contrasted with. A smaller training set gives as "
        "many as it has without its largest class.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities of embeddings.")
    momentum: float = Field(
        default=0.5, ge=0, le=1, description="How much of a sample's row in the memory an update keeps."
    )
