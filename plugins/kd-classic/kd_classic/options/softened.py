"""Options of the methods that compare softened class probabilities as a whole. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kd_classic.options.shared import STANDARDIZE, LogitOptions
from kdcore import DistillerOptions


class KDOptions(LogitOptions):
    """KD (Hinton et al., 2015), with the defaults of the CIFAR-100 recipe that later papers compare with.

    The task loss has weight 0.1. The usual ImageNet recipe (mdistiller) is temperature 1, weight 0.5 and task
    weight 0.5.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.1; ImageNet: 0.5 with a task weight of 0.5.",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    standardize: bool = Field(default=False, description=STANDARDIZE + ", with a task weight of 0.1.")


class CTKDOptions(DistillerOptions):
    """CTKD (Li et al., AAAI 2023) with one temperature for all samples, defaults of the authors' CIFAR-100 scripts."""

    weight: float = Field(
        default=0.9, ge=0, description="Factor of the loss term. 0.9 with a task weight of 0.1."
    )
    minimum: float = Field(default=1.0, gt=0, description="The lowest temperature that can be learned.")
    span: float = Field(
        default=20.0,
        gt=0,
        description="The highest temperature minus the lowest one. The first temperature is "
        "minimum + 0.73 * span, 15.6 by default.",
    )
    ramp_epochs: int = Field(
        default=10,
        ge=0,
        description="Epochs in which the reversed gradient of the temperature grows from 0 to its full size, "
        "as a cosine; 0: full from the start.",
    )


class DHKDOptions(DistillerOptions):
    """DHKD (Yang et al., 2024) without gradient alignment, defaults of the authors' CIFAR-100 code."""

    weight: float = Field(default=1.0, ge=0, description="Factor of the loss term. ImageNet: 0.1.")
    temperature: float = Field(
        default=2.0,
        gt=0,
        description="Divides the difference between the second head's logits and the teacher's.",
    )
    head: Literal["mlp", "linear"] = Field(
        default="mlp",
        description="The second head. mlp (CIFAR-100): linear, dropout, batch norm, ReLU, linear. linear: ImageNet.",
    )
    hidden: int = Field(default=200, ge=1, description="Width of the hidden layer of `mlp`.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout in `mlp`.")
