"""Options of the methods whose authors train with them first, and with the task afterwards. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_feature.options.shared import ALL_STAGES, STAGES, Stages
from kdcore import DistillerOptions


class ABOptions(DistillerOptions):
    """AB, activation boundaries (Heo et al., AAAI 2019)."""

    stages: Stages = Field(
        default=ALL_STAGES,
        description=STAGES
        + ". Maps before the last ReLU are taken where that is known; the last stage has factor 1, "
        "the others 1/2, 1/4 and so on.",
    )
    margin: float = Field(default=1.0, gt=0, description="How far from 0 the student's values should be.")


class FTOptions(DistillerOptions):
    """FT, factor transfer (Kim et al., NeurIPS 2018)."""

    weight: float = Field(default=200.0, ge=0, description="Factor of both loss terms.")
    stages: Stages = Field(default=(3,), description=STAGES + ".")
    paraphraser_weight: float = Field(
        default=0.005,
        ge=0,
        description="Factor of the paraphraser's error relative to the other term: with the default weight it has 1.",
    )
    ratio: float = Field(
        default=0.5, gt=0, le=1, description="Channels of the factors relative to the teacher's."
    )
    p1: int = Field(default=2, ge=1, description="Power of a factor's values, which may be negative.")
    p2: float = Field(default=1.0, ge=1, description="Power of the difference.")
    paraphraser_epochs: int | None = Field(
        default=None,
        ge=0,
        description="Epochs in which only the paraphraser is trained, and after which it is fixed; the authors have "
        "30. null: it is trained together with the student.",
    )


class FSPOptions(DistillerOptions):
    """FSP, the flow of solution procedure (Yim et al., CVPR 2017)."""

    weight: float = Field(default=50.0, ge=0, description="Factor of the loss term.")
    stages: Stages = Field(
        default=ALL_STAGES,
        description="Stages between which features are compared, two or more from shallow to deep, each 1..4 or a "
        "module path; a pair [student's, teacher's] if they differ.",
    )
