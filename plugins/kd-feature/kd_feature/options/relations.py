"""Options of the methods that compare relations between samples, positions or tokens. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_feature.options.shared import DIM, STAGES, Stages
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
