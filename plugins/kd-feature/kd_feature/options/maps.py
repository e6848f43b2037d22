"""Options of the methods that compare feature maps. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kd_feature.options.shared import ALL_STAGES, STAGES, Stages
from kdcore import DistillerOptions


class FitNetOptions(DistillerOptions):
    """FitNet (Romero et al., ICLR 2015) in one training stage with the task, as in RepDistiller and mdistiller."""

    weight: float = Field(default=100.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=(2,), description=STAGES + ".")
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
    stages: Stages = Field(default=ALL_STAGES, description=STAGES + ".")
    power: float = Field(
        default=2.0,
        ge=1,
        description="The attention of a position is the mean over the channels of |value| to this power.",
    )


class NSTOptions(DistillerOptions):
    """NST, neuron selectivity transfer (Huang and Wang, 2017), with the polynomial kernel."""

    weight: float = Field(default=50.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=ALL_STAGES, description=STAGES + ".")


class VIDOptions(DistillerOptions):
    """VID, variational information distillation (Ahn et al., CVPR 2019)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=ALL_STAGES, description=STAGES + ".")
    initial_variance: float = Field(
        default=5.0, gt=1e-3, description="Variance of every teacher channel at the start; it is trained."
    )


class CWDOptions(DistillerOptions):
    """CWD, channel-wise distillation (Shu et al., ICCV 2021)."""

    stages: Stages = Field(default=(3,), description=STAGES + ".")
    temperature: float = Field(
        default=1.0, gt=0, description="Divides the values of a channel before the softmax over its places."
    )


class PKDOptions(DistillerOptions):
    """PKD, distillation by Pearson correlation (Cao et al., NeurIPS 2022)."""

    weight: float = Field(default=6.0, ge=0, description="Factor of the loss term; 6 is that for detectors.")
    stages: Stages = Field(default=(4,), description=STAGES + ".")


class ICKDOptions(DistillerOptions):
    """ICKD, inter-channel correlation (Liu et al., ICCV 2021)."""

    weight: float = Field(
        default=2.5,
        ge=0,
        description="Factor of the loss term: 2.5 in the authors' text for CIFAR-100, 4 in their script. Their "
        "ImageNet code divides by the batch once more.",
    )
    stages: Stages = Field(default=(4,), description=STAGES + ".")
