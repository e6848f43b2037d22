"""Options of the methods that use the classifiers of teacher or student. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import DistillerOptions


class SRRLOptions(DistillerOptions):
    """SRRL, softmax regression representation learning (Yang et al., ICLR 2021)."""

    beta: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the difference of the logits relative to that of the features: 1 for ImageNet, 5 for "
        "CIFAR-100.",
    )
    connector: Literal["auto", "map", "embedding"] = Field(
        default="auto",
        description="Where the head is: on the student's last map before the mean over its places (the authors), or on "
        "the embedding (SimKD's authors), which is exact for every classifier. 'auto': on the map if the teacher's "
        "classifier reads the means of its last map.",
    )


class CATKDOptions(DistillerOptions):
    """CAT-KD, class attention transfer (Guo et al., CVPR 2023)."""

    weight: float = Field(
        default=15.0,
        ge=0,
        description="Factor of the loss term; it differs per pair: see the settings. The authors aim at a term of 1 to "
        "50 after the first epoch.",
    )
    resolution: int = Field(
        default=2,
        ge=1,
        description="Side of the grid on which the maps are averaged; 4 in some of the authors' runs.",
    )
    normalize: bool = Field(
        default=False,
        description="Divide each averaged map by its norm; the authors do for MobileNet and ShuffleNet.",
    )


class SimKDOptions(DistillerOptions):
    """SimKD, the reused teacher classifier (Chen et al., CVPR 2022)."""

    factor: int = Field(
        default=2,
        ge=1,
        description="The teacher's channels are divided by it inside the projector: 2, 4 or 8.",
    )
    activation: Literal["relu", "none"] = Field(
        default="relu",
        description="What ends the projector: a batch norm and ReLU (the authors), or the convolution alone, for "
        "teachers whose last map has negative values, such as ConvNeXt and Swin.",
    )


class CAMKDFeatureOptions(DistillerOptions):
    """CA-MKD's term on feature maps (Zhang et al., ICASSP 2022), defaults of the authors' command.

    The authors use it together with `camkd`, from the second epoch on.
    """

    weight: float = Field(default=50.0, ge=0, description="Factor of the loss term.")
    translator: Literal["single", "bottleneck"] = Field(
        default="single",
        description="From the student's map to each teacher's: one 1x1 convolution, or 1x1, 3x3 and 1x1, each with "
        "batch norm and ReLU.",
    )
    factor: int = Field(
        default=2, ge=1, description="The student's channels are divided by it inside a bottleneck."
    )
    constant_weights: bool = Field(
        default=False,
        description="Treat the teachers' weights as constants. In the authors' code they have a gradient, through the "
        "teachers' classifiers.",
    )
    normalize: bool = Field(
        default=False,
        description="Let the weights of the M teachers have the sum 1, as in the paper. As released it is 1 / M.",
    )


class NORMOptions(DistillerOptions):
    """NORM, N-to-one representation matching (Liu et al., ICLR 2023)."""

    copies: int = Field(
        default=8, ge=1, description="N: how many copies of the teacher's map the student makes."
    )
    classes_weight: float = Field(
        default=0.5,
        ge=0,
        description="Factor of the term `classes`, the cross-entropy; the authors search 0.0625 to 0.5.",
    )
    logit_scale: float = Field(
        default=2.5,
        gt=0,
        description="Factor of the normalised logits, in the terms `classes` and `kd` and in the trained student.",
    )
    kd_weight: float = Field(
        default=0.0,
        ge=0,
        description="Factor of the term `kd`: KD on the normalised logits of both models. 0 leaves it out, as the "
        "authors' scripts do.",
    )
    kd_temperature: float = Field(
        default=4.0, gt=0, description="Divides the normalised logits in the term `kd`."
    )
