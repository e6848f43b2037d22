"""What `--option` sets for the formats of this package."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore import Options


class OnnxOptions(Options):
    """Options of `onnx`."""

    opset: int | None = Field(
        default=None,
        ge=1,
        description="The version of ONNX's operators; null: the default of torch's exporter. "
        "It has to be one that the installed exporter writes.",
    )
    batch: int | None = Field(
        default=None,
        ge=1,
        description="A fixed number of images, for compilers that need one; null: a free axis with the name 'batch'.",
    )


class CoreMLOptions(Options):
    """Options of `coreml`."""

    input: Literal["image", "array"] = Field(
        default="image",
        description="'image': Core ML's image type, normalised inside the model. 'array': normalised float32 numbers "
        "[1, C, H, W], as the other formats take them.",
    )
