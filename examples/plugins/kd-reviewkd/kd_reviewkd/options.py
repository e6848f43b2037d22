"""The options of ReviewKD. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from kdcore import DistillerOptions
from pydantic import Field

Stage = Annotated[int, Field(strict=True, ge=1, le=4)] | Annotated[str, Field(min_length=1)]
StageChoice = Stage | tuple[Stage, Stage]
"""A stage of both models, or a pair: the student's and the teacher's."""


class ReviewKDOptions(DistillerOptions):
    """ReviewKD (Chen et al., CVPR 2021), with the defaults of the authors' code for CIFAR-100.

    Source: https://github.com/dvlab-research/ReviewKD, `CIFAR-100/train.py` and `model/reviewkd.py`; mdistiller's
    configuration has the same.
    """

    weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor over the loss term. The authors' scripts for CIFAR-100: 0.6 from ResNet-56 to ResNet-20, "
        "1 from ResNet-110 to ResNet-32, 5 for WRN, ResNet-8x4 and ShuffleNetV1, 8 for ShuffleNetV2.",
    )
    stages: Annotated[tuple[StageChoice, ...], Field(min_length=1)] = Field(
        default=(1, 2, 3, 4),
        description="Stages whose maps are compared, from shallow to deep, each 1..4 or a module path; a pair "
        "[student's, teacher's] where they differ.",
    )
    embedding: bool = Field(
        default=True, description="Compare the pooled features too, as the deepest map, with a grid of 1x1."
    )
    mid_channels: int | None = Field(
        default=None,
        ge=1,
        description="Channels of the maps that are fused; null: those of the student's deepest, 512 at most. The "
        "authors' ImageNet runs: 512 for ResNet-18, 256 for MobileNet.",
    )
    warmup_epochs: int = Field(
        default=20, ge=0, description="Number of epochs over which the loss grows evenly; 0: no warm-up."
    )
