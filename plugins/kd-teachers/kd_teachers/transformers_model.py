"""Image classifiers of transformers from saved folders: offline, safetensors only, no code from the folder."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

from kd_teachers.class_embeddings import ClassEmbeddings
from kd_teachers.libraries import library
from kd_teachers.transformers_folder import (
    Folder,
    check_complete,
    explained,
    names_of,
    open_folder,
    problem,
    quiet,
    size_of,
)
from kd_teachers.zero_shot import zero_shot
from kdcore import ModelDescription, UserError

if TYPE_CHECKING:
    from pathlib import Path

_FIXED: Final = ("clip",)  # classifiers that refuse images of another size than their configuration's
_CLASSIFIERS: Final = (
    ("classifier",),
    ("classifier", "classifier_distill"),  # LeViT with a teacher
    ("cls_classifier", "distillation_classifier"),  # DeiT with a teacher
    ("head", "dist_head"),  # SwiftFormer
)
"""The names of the last layers in the classes of transformers; with two, the logits are the mean of both."""


class Classifier(nn.Module):
    """What is added to the class of transformers; weights and module paths keep their names."""

    kd_description: ModelDescription
    num_classes: int
    _flips_channels: bool
    _own_size: tuple[int, int] | None
    _interpolates: bool

    def forward(self, images: Tensor, **asked: Any) -> Any:
        """`[B, C, H, W]` -> the logits `[B, K]`; with `asked`, what transformers returns for it."""
        arguments = dict(asked)
        if self._interpolates and tuple(images.shape[-2:]) != self._own_size:
            arguments["interpolate_pos_encoding"] = True
        if self._flips_channels:
            images = images.flip(1)
        output: Any = super().forward(pixel_values=images, **arguments)
        return output if asked else output.logits

    def get_classifier(self) -> nn.Module | tuple[nn.Module, ...] | None:
        """The last layer or layers; by them kd sees how many classes a checkpoint knows."""
        found = tuple(self.get_submodule(name) for name in classifiers_of(self))
        return found[0] if len(found) == 1 else found or None


def classifiers_of(model: nn.Module) -> tuple[str, ...]:
    """The names of a model's last layers; none for a class that names them otherwise."""
    return next((names for names in reversed(_CLASSIFIERS) if all(hasattr(model, one) for one in names)), ())


def build(
    num_classes: int,
    in_chans: int,
    *,
    path: str,
    text_head: str | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
) -> nn.Module:
    """The classifier in a folder, with its weights; on the meta device without them.

    Args:
        num_classes: K; another number than the folder's replaces the classifier, 0 takes it away.
        in_chans: channels of the images.
        path: the folder.
        text_head: a file of class embeddings, which become the classifier of a CLIP or SigLIP model.
        logit_scale: their factor; None: the folder's.
        logit_bias: added to their logits; None: the folder's, if it has one.

    Raises:
        UserError: a file is missing, the library is, or the folder holds no image classifier that it knows.
    """
    transformers = library("transformers", "transformers")
    folder = open_folder(transformers, path, in_chans)
    if text_head is not None:
        given = ClassEmbeddings.read(text_head, "options.text_head", logit_scale, logit_bias)
        network = zero_shot(transformers, folder, given, with_head=num_classes != 0)
        network.kd_description = folder.describe(given.count, given.names, fixed=False, trainable=False)
        return _complete(network, folder, type(network.vision))
    config = folder.config
    if type(config) not in transformers.AutoModelForImageClassification._model_mapping:
        message = f"transformers has no image classifier of the kind '{config.model_type}'"
        raise UserError(problem(message, folder.path))
    classifies = any("ForImageClassification" in name for name in folder.written.get("architectures") or ())
    known = int(config.num_labels) if classifies else 0
    names = names_of(config) if classifies else None
    model = _load(transformers, folder.path, config, num_classes if num_classes not in (0, known) else None)
    if num_classes == 0:
        _take_classifier_away(model, folder)
    model.kd_description = folder.describe(known, names, fixed=config.model_type in _FIXED)
    model.num_classes = num_classes or known
    return _complete(model, folder, type(model))


def _load(transformers: Any, folder: Path, config: Any, classes: int | None) -> Any:
    auto = transformers.AutoModelForImageClassification
    if classes is not None:
        config.num_labels = classes
    with quiet(transformers), explained(folder):
        if torch.get_default_device().type == "meta":
            return auto.from_config(config, trust_remote_code=False, dtype=torch.float32)
        model, info = auto.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=classes is not None,
            output_loading_info=True,
            dtype=torch.float32,
        )
    own = classifiers_of(model)
    check_complete((key for key in info["missing_keys"] if key.partition(".")[0] not in own), folder)
    return model.train()


def _take_classifier_away(model: nn.Module, folder: Folder) -> None:
    names = classifiers_of(model)
    if not names:
        message = f"kd does not know where {type(model).__name__} has its classifier, and cannot take it away"
        raise UserError(problem(message, folder.path, hint="use it with its classifier"))
    for name in names:
        setattr(model, name, nn.Identity())


def _complete(model: Any, folder: Folder, network: type[nn.Module]) -> nn.Module:
    """The model with kd's `forward`; `network` is transformers' class, whose arguments it passes on."""
    model.__class__ = _class_of(cast("Any", type(model)))
    prepared = folder.prepared
    model._flips_channels = bool(prepared and prepared.flips_channels)
    model._interpolates = "interpolate_pos_encoding" in inspect.signature(network.forward).parameters
    model._own_size = size_of(folder.config)
    return cast("nn.Module", model)


@cache
def _class_of(cls: type[nn.Module]) -> type[nn.Module]:
    """The class with `Classifier` before it, so that adapters declared for transformers' class serve it."""
    return type(cls.__name__, (Classifier, cls), {"__module__": __name__, "__doc__": cls.__doc__})
