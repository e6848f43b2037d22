"""What a spec can say of a model. Imports no torch."""

from __future__ import annotations

from typing import Literal

from kdcore import Options
from pydantic import Field


class PlainOptions(Options):
    """Of the models that have nothing to choose."""


class ResNetOptions(Options):
    """Of ResNet, ResNeXt and Wide ResNet."""

    stem: Literal["imagenet", "cifar"] = Field(
        default="imagenet",
        description="'cifar': a 3x3 convolution of stride 1 and no pooling, for images of about 32 pixels.",
    )
    zero_init_residual: bool = Field(
        default=False,
        description="The last batch norm of each block starts from zero, so that blocks are the identity.",
    )


class DropoutOptions(Options):
    """Of the models with dropout in front of the classifier."""

    dropout: float | None = Field(default=None, ge=0, lt=1, description="Dropout; null: torchvision's own.")


class DepthOptions(Options):
    """Of the models with stochastic depth."""

    stochastic_depth_prob: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="How often the last block is left out in training; null: torchvision's own.",
    )


class ViTOptions(Options):
    """Of ViT."""

    image_size: int = Field(default=224, ge=14, description="Side of the images, as data.image_size.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout in the blocks.")
    attention_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout of the attention.")
