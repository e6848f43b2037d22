"""Options of the methods that treat the target class apart from the others. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_classic.options.shared import CorrectOptions, LogitOptions


class DKDOptions(LogitOptions):
    """DKD (Zhao et al., CVPR 2022), defaults of the authors' CIFAR-100 configuration."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of both loss terms.",
    )
    alpha: float = Field(
        default=1.0, ge=0, description="Factor of the target-class term (TCKD): the target against the rest."
    )
    beta: float = Field(
        default=8.0,
        ge=0,
        description="Factor of the non-target-class term (NCKD). The authors tune it for each teacher: "
        "2 to 8 on CIFAR-100; on ImageNet 0.5 (ResNet-34 to ResNet-18) and 2 (ResNet-50 to MobileNet).",
    )
    temperature: float = Field(
        default=4.0, gt=0, description="Divides the logits of student and teacher. ImageNet: 1."
    )
    warmup_epochs: int = Field(
        default=20,
        ge=0,
        description="Number of epochs over which both terms grow, in equal steps; 0: full from the start.",
    )


class NKDOptions(CorrectOptions):
    """NKD (Yang et al., ICCV 2023), defaults of the authors' loss class, which are their ImageNet values."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    gamma: float = Field(
        default=1.5, ge=0, description="Factor of the non-target term. CIFAR-100: 3.5; DeiT students: 1."
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="Divides the non-target logits; the target term has no temperature. CIFAR-100: 3.",
    )
