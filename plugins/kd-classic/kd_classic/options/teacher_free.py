"""Options of the methods without a teacher. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import DistillerOptions


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
