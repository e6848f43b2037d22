"""Options of the methods that treat the target class apart from the others. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from kd_classic.options.shared import CorrectOptions, LogitOptions
from kdcore import DistillerOptions


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


class SDDOptions(DistillerOptions):
    """SDD (Luo, CVPR 2024), defaults of the authors' code for CIFAR-100 in its KD form.

    In that form the task loss has weight 0.1. The authors' DKD form has weight 1, a task weight of 1, and a warm-up.
    """

    weight: float = Field(
        default=0.9,
        ge=0,
        description="Factor of the loss term. 0.9 with a task weight of 0.1; form dkd: 1 with 1.",
    )
    form: Literal["kd", "dkd"] = Field(default="kd", description="The loss of each region.")
    grids: tuple[int, ...] = Field(
        default=(1, 2),
        min_length=1,
        description="The grids of regions, 1 to 8: 1 is the whole image, which is always there, 2 are 2x2 regions. "
        "The authors use [1, 2] or [1, 2, 4], depending on the pair.",
    )
    temperature: float = Field(default=4.0, gt=0, description="Divides the logits of student and teacher.")
    alpha: float = Field(default=1.0, ge=0, description="Factor of the target-class term of the form dkd.")
    beta: float = Field(default=8.0, ge=0, description="Factor of the non-target-class term of the form dkd.")
    warmup_epochs: int = Field(
        default=20,
        ge=0,
        description="Epochs over which the term grows in the form dkd; 0: full from the start.",
    )

    @field_validator("grids")
    @classmethod
    def _in_range(cls, grids: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= grid <= 8 for grid in grids) or len(set(grids)) != len(grids):
            raise ValueError("a grid is a number from 1 to 8, and each may be there once")
        return grids
