"""What this plugin declares. Imports neither torch nor the libraries of the models."""

from __future__ import annotations

from kdcore import AdapterEntry, ModelEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_models() -> list[ModelEntry]:
    """Models of other libraries."""
    return [
        ModelEntry(
            name="transformers",
            summary="An image classifier of transformers, from the folder that save_pretrained wrote.",
            target="kd_teachers.transformers_model:build",
            options="kd_teachers.options:TransformersOptions",
        ),
        ModelEntry(
            name="torchvision",
            summary="A classifier of torchvision, by its name there.",
            target="kd_teachers.torchvision_model:build",
            options="kd_teachers.options:TorchvisionOptions",
        ),
        ModelEntry(
            name="text-head",
            summary="An image encoder of timm that compares images with class embeddings of a text encoder.",
            target="kd_teachers.text_head:build",
            options="kd_teachers.options:TextHeadOptions",
        ),
        ModelEntry(
            name="outputs",
            summary="A teacher that is a table: the logits or probabilities of each image, computed elsewhere.",
            target="kd_teachers.outputs.model:build",
            options="kd_teachers.options:OutputsOptions",
        ),
        ModelEntry(
            name="onnx",
            summary="A teacher from an ONNX file; onnxruntime computes it on the CPU, and it is never trained.",
            target="kd_teachers.onnx_model:build",
            options="kd_teachers.options:OnnxOptions",
        ),
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """Adapters for the models that do more than classify."""
    return [
        AdapterEntry(
            name="transformers",
            summary="Image classifiers of transformers: the hidden states that they return.",
            target="kd_teachers.transformers_adapter:TransformersAdapter",
            # a base class of every model that the target returns, so transformers need not be installed to check it
            models=("kd_teachers.transformers_model:Classifier",),
        ),
        AdapterEntry(
            name="text-head",
            summary="timm's image encoders with class embeddings: the encoder's stages.",
            target="kd_teachers.text_head:TextHeadAdapter",
            models=("kd_teachers.text_head:TextHeadModel",),
        ),
        AdapterEntry(
            name="outputs",
            summary="Tables of outputs: the logits of the data's images.",
            target="kd_teachers.outputs.model:OutputsAdapter",
            models=("kd_teachers.outputs.model:OutputsModel",),
        ),
        AdapterEntry(
            name="onnx",
            summary="ONNX files: the output is the logits, or the embedding of an encoder.",
            target="kd_teachers.onnx_model:OnnxAdapter",
            models=("kd_teachers.onnx_model:OnnxModel",),
        ),
    ]
