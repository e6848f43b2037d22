"""Options of the methods that compare softened class probabilities as a whole. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kd_classic.options.shared import STANDARDIZE, LogitOptions


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
