"""What a spec can say of a model. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from kdcore import Options, SpecFile, SpecFolder


class TransformersOptions(Options):
    """Of a model of transformers."""

    path: SpecFolder = Field(
        description="The folder, relative to the spec: config.json, model.safetensors and "
        "preprocessor_config.json, as save_pretrained writes them."
    )


class TorchvisionOptions(Options):
    """Of a model of torchvision."""

    name: str = Field(
        default="resnet50", description="Its name in torchvision.models, such as 'resnet50' or 'vit_b_16'."
    )
    image_size: int | None = Field(
        default=None,
        ge=8,
        description="Side of the images of vit_*, which are built for one size; null: 224.",
    )


class OnnxOptions(Options):
    """Of an ONNX file. What the metadata of a file from kd export says need not be given."""

    path: SpecFile = Field(description="The file, relative to the spec.")
    output: str | None = Field(
        default=None, description="The name of the output that is the logits or embedding; null: the first."
    )
    mean: tuple[float, ...] | None = Field(
        default=None, description="Mean of its images in 0..1, per channel; null: the file's, or ImageNet's."
    )
    std: tuple[float, ...] | None = Field(
        default=None, description="Their standard deviation; null: the file's, or ImageNet's."
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="The names of its classes in their order; null: the file's, or unknown."
    )
