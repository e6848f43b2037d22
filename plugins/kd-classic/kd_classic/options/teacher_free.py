"""Options of the methods without a teacher. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import DistillerOptions


class CSKDOptions(DistillerOptions):
    """CS-KD (Yun et al., CVPR 2020), defaults of the authors' code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term. CUB-200: 3.")
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of both images.")


class PSKDOptions(DistillerOptions):
    """PS-KD (Kim et al., ICCV 2021), defaults of the authors' code."""

    alpha: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="The share of the earlier predictions in the targets of the last epoch; it grows linearly to this.",
    )
    table: Literal["float32", "float16"] = Field(
        default="float32",
        description="Number format of the predictions that are kept, one row of K numbers for each training sample.",
    )


class USKDOptions(DistillerOptions):
    """USKD (Yang et al., ICCV 2023), defaults of the authors' loss class, which are their ImageNet values."""

    alpha: float = Field(default=1.0, ge=0, description="Factor of the target term. CIFAR-100: 0.1.")
    beta: float = Field(default=0.1, ge=0, description="Factor of the non-target term.")
    mu: float = Field(
        default=0.005, ge=0, description="Factor of the cross-entropy of the weak head. CIFAR-100: 0.1."
    )
    stage: int | str = Field(
        default=3,
        description="Stage of the student whose pooled map the weak head reads: 1 to 4, or a module path.",
    )
    ranking: Literal["released", "probabilities"] = Field(
        default="released",
        description="What the classes are ranked by. released: a probability of the weak head plus a log-probability "
        "of the student, as in the authors' code. probabilities: both are probabilities.",
    )


class TfKDOptions(DistillerOptions):
    """Tf-KD reg (Yuan et al., CVPR 2020), with the authors' values for ResNet-18 on CIFAR-100.

    Their total is (1 - a) * task loss + a * multiplier * this loss, here with a = 0.1 and a multiplier of 100.
    """

    weight: float = Field(
        default=10.0,
        ge=0,
        description="Factor of the loss term, a * multiplier, with a task weight of 1 - a. GoogLeNet: 5 with 0.9; "
        "MobileNetV2 and ShuffleNetV2: 0.95 with 0.05.",
    )
    temperature: float = Field(
        default=20.0,
        gt=0,
        description="Softens the virtual teacher. MobileNetV2, GoogLeNet and ResNeXt-29: 40; ShuffleNetV2: 10.",
    )
    correct_probability: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="The virtual teacher's probability of the target, before it is softened.",
    )
    version: Literal["released", "paper"] = Field(
        default="released",
        description="released: soften the virtual teacher's probabilities and divide by the number of classes, as the "
        "authors' code does. paper: soften their logarithms, and take the mean over the batch.",
    )
