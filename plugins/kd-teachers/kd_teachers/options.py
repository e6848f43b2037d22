"""What a spec can say of a model. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from kdcore import Options, SpecFile, SpecFolder


class TransformersOptions(Options):
    """Of a model of transformers."""

    path: SpecFolder = Field(
        description="The folder, relative to the spec: config.json, model.safetensors and "
        "preprocessor_config.json, as save_pretrained writes them."
    )
    text_head: SpecFile | None = Field(
        default=None,
        description="A file of class embeddings (.npz, .safetensors), which become the classifier of a CLIP or SigLIP "
        "model; null: the folder's classifier.",
    )
    logit_scale: float | None = Field(
        default=None,
        gt=0,
        description="Factor of the cosines of image and class embeddings; null: that of text_head or of the folder.",
    )
    logit_bias: float | None = Field(
        default=None, description="Added to these logits; null: that of text_head or of the folder, or 0."
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


class TextHeadOptions(Options):
    """Of an image encoder of timm with class embeddings as its classifier."""

    encoder: str = Field(
        default="vit_base_patch16_clip_224.openai",
        description="Its name in timm with the tag of its weights.",
    )
    path: SpecFile = Field(
        description="A file of class embeddings (.npz or .safetensors), relative to the spec."
    )
    pretrained: bool = Field(default=False, description="Download timm's weights of the encoder.")
    checkpoint: SpecFile | None = Field(default=None, description="A file of the encoder's weights.")
    logit_scale: float | None = Field(
        default=None,
        gt=0,
        description="Factor of the cosines of image and class embeddings; null: the file's.",
    )
    logit_bias: float | None = Field(default=None, description="Added to the logits; null: the file's, or 0.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.pretrained and self.checkpoint is not None:
            raise ValueError("'pretrained' and 'checkpoint' exclude each other: give one of them")
        return self


class OutputsOptions(Options):
    """Of a table of outputs."""

    path: SpecFile = Field(
        description="The table (.npz, .csv or .parquet), relative to the spec: a row for each image, by the name of "
        "its file relative to the data's root."
    )
    values: Literal["logits", "probabilities"] | None = Field(
        default=None,
        description="What the numbers in the columns of a .csv or .parquet are; null: the table says it.",
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="The names of its classes in their order; null: the table's, or unknown."
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
