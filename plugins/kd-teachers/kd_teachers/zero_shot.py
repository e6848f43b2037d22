"""CLIP and SigLIP of transformers as classifiers: the image encoder, and class embeddings from the text encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import safe_open
from torch import Tensor, nn

from kd_teachers.transformers_folder import Folder, check_complete, explained, of_images, problem, quiet
from kdcore import UserError

if TYPE_CHECKING:
    from kd_teachers.class_embeddings import ClassEmbeddings
    from kdcore import ModelDescription

_ENCODERS: Final = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}


@dataclass(frozen=True)
class ImageOutput:
    """What a pass gives: logits `[B, K]`, and the hidden states if they were asked for."""

    logits: Tensor
    hidden_states: Any


class ZeroShot(nn.Module):
    """An image encoder of transformers and a classifier of class embeddings."""

    kd_description: ModelDescription

    def __init__(self, vision: nn.Module, classifier: nn.Module, count: int) -> None:
        super().__init__()
        self.vision = vision
        self.classifier = classifier
        self.config: Any = vision.config
        self.num_classes = count

    def forward(self, pixel_values: Tensor, **asked: Any) -> ImageOutput:
        """`[B, C, H, W]` -> the logits, and what `asked` asks of transformers."""
        output = self.vision(pixel_values=pixel_values, **asked)
        embedding = output.image_embeds if "image_embeds" in output else output.pooler_output
        return ImageOutput(self.classifier(embedding), output.hidden_states)


def zero_shot(transformers: Any, folder: Folder, given: ClassEmbeddings, *, with_head: bool) -> ZeroShot:
    """The image encoder of a folder with class embeddings as its classifier; on the meta device without weights.

    Args:
        transformers: the library.
        folder: with the whole model or with its image encoder.
        given: the class embeddings.
        with_head: False: without the classifier.

    Raises:
        UserError: the folder holds no CLIP or SigLIP, or the embeddings do not fit.
    """
    kind = folder.config.model_type
    if kind not in _ENCODERS:
        message = (
            f"class embeddings need an image encoder with a text encoder, and this is of the kind '{kind}'"
        )
        raise UserError(problem(message, folder.path, hint="save a model of the kind clip or siglip"))
    config = of_images(folder.config)
    config.projection_dim = getattr(folder.config, "projection_dim", None)  # the whole model's, if it is one
    vision = _encoder(getattr(transformers, _ENCODERS[kind]), config, transformers, folder)
    width = config.projection_dim if kind.startswith("clip") else config.hidden_size
    scale, bias = _scale(folder)
    head = given.head(width, scale, bias)
    return ZeroShot(vision, head if with_head else nn.Identity(), given.count if with_head else 0)


def _encoder(cls: Any, config: Any, transformers: Any, folder: Folder) -> Any:
    with quiet(transformers), explained(folder.path):
        if torch.get_default_device().type == "meta":
            return cls._from_config(config, dtype=torch.float32)
        model, info = cls.from_pretrained(
            folder.path,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    check_complete(info["missing_keys"], folder.path)
    return model.train()


def _scale(folder: Folder) -> tuple[float | None, float | None]:
    """The factor and bias of the logits in a folder's weights, which hold the logarithm of the factor."""
    found: dict[str, float] = {}
    for file in sorted(folder.path.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for key in {"logit_scale", "logit_bias"} & set(tensors.keys()):
                found[key] = float(tensors.get_tensor(key))
    scale = found.get("logit_scale")
    return None if scale is None else math.exp(scale), found.get("logit_bias")
