"""Options of the methods that compare relations between samples, positions or tokens. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kd_feature.options.shared import (
    ALL_STAGES,
    DIM,
    STAGE_OF_STUDENT,
    STAGE_OF_TEACHER,
    STAGES,
    LastStage,
    Stages,
)
from kdcore import DistillerOptions


class SPOptions(DistillerOptions):
    """SP, similarity-preserving distillation (Tung and Mori, ICCV 2019)."""

    weight: float = Field(default=3000.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(default=(4,), description=STAGES + ".")


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
    dim: int = Field(default=128, ge=1, description=DIM)


class SRDOptions(DistillerOptions):
    """SRD, "a simple recipe for distillation" (Miles and Mikolajczyk, AAAI 2024)."""

    weight: float = Field(default=2.0, ge=0, description="Factor of the loss term.")
    variant: Literal["difference", "correlation"] = Field(
        default="difference",
        description="'difference': of standardised embeddings, as in the authors' ImageNet code for CNNs. "
        "'correlation': of each channel, as in their code for DeiT.",
    )
    exponent: float = Field(default=4.0, gt=0, description="Power of each difference before they are added.")


class ITRDOptions(DistillerOptions):
    """ITRD, information theoretic representation distillation (Miles et al., BMVC 2022)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    correlation_weight: float = Field(
        default=2.0, ge=0, description="Factor of the term of channels' correlations; 0 leaves it out."
    )
    mutual_weight: float = Field(
        default=0.05, ge=0, description="Factor of the term of samples' similarities; 0 leaves it out."
    )
    alpha: float = Field(
        default=1.5,
        gt=0,
        description="Power of each squared difference of a correlation from 1. The authors' README has 1.01 or 1.0 for "
        "wide ResNets.",
    )


class ManifoldOptions(DistillerOptions):
    """Manifold distillation of tokens (Hao et al., NeurIPS 2022)."""

    weight: float = Field(default=1.0, ge=0, description="Factor of all loss terms.")
    stages: Stages = Field(
        default=ALL_STAGES,
        description="Stages whose tokens are compared, each 1..4 or a module path; a pair [student's, teacher's] if "
        "they differ. The terms are means over the stages.",
    )
    patch_weight: float = Field(
        default=4.0, ge=0, description="Factor of the term within images; 0 leaves it out."
    )
    sample_weight: float = Field(
        default=0.1, ge=0, description="Factor of the term between images, at each place; 0 leaves it out."
    )
    random_weight: float = Field(
        default=0.2, ge=0, description="Factor of the term of random tokens; 0 leaves it out."
    )
    random_tokens: int = Field(
        default=192, ge=1, description="Number of random tokens of the whole batch in each step."
    )


class TokenRelationOptions(DistillerOptions):
    """Token relation, the third version of LightlyTrain's distillation."""

    weight: float = Field(default=1.0, ge=0, description="Factor of both loss terms.")
    local_weight: float = Field(default=1.0, ge=0, description="Factor of the term of tokens.")
    student_stage: LastStage = Field(default="last", description=STAGE_OF_STUDENT)
    teacher_stage: LastStage = Field(default="last", description=STAGE_OF_TEACHER)
    queue: int | None = Field(
        default=None,
        ge=1,
        description="Number of rows of the queue. By default the power of two that is 25 to 50 % of the training set, "
        "from 16 to 8192.",
    )
    temperature: float = Field(default=0.07, gt=0, description="Divides the similarities.")
