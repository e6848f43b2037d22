"""torchvision's classifiers by name, for any number of classes."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import torch
import torchvision
from torch import nn

from kdcore import ModelDescription, Problem, UserError
from kdcore.plugin import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

_HALF: Final = (0.5,) * 3
_AUXILIARY: Final = ("googlenet", "inception_v3")  # with a second classifier, which returns logits of its own


class Classifier(nn.Module):
    """What is added to torchvision's class; the weights keep their names."""

    classifier_path: str

    def get_classifier(self) -> nn.Module:
        """The last layer; by it kd sees how many classes a checkpoint knows."""
        return self.get_submodule(self.classifier_path)


def build(num_classes: int, in_chans: int, *, name: str, image_size: int | None = None) -> nn.Module:
    """Torchvision's model of this name, with its initial weights; 0 classes take the last layer away.

    Raises:
        UserError: torchvision has no classifier of this name, or the images do not have 3 channels.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = nearest(name, known)
        raise UserError(Problem("options.name", "torchvision has no such classifier", name, nearest=near))
    if in_chans != 3:
        message = f"torchvision's models take images of 3 channels, not {in_chans}"
        raise UserError(Problem("model", message, hint="timm's models take any number"))
    given: dict[str, Any] = {"aux_logits": False, "init_weights": True} if name in _AUXILIARY else {}
    if image_size is not None and name.startswith("vit"):
        given["image_size"] = image_size
    device = torch.get_default_device()
    # RegNet's constructor reads numbers from tensors, which the meta device does not have
    with torch.device("cpu") if name.startswith("regnet") else nullcontext():
        model: Any = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes or 1000, **given
        )
    model.to(device)
    path = list(_last_layers(model))[-1]
    if num_classes == 0:
        model.set_submodule(path, nn.Identity())
    model.__class__ = _class_of(cast("Any", type(model)))
    model.classifier_path, model.num_classes = path, num_classes
    side = image_size or (299 if name == "inception_v3" else 224)
    mean, std, interpolation = images_of(name)
    model.kd_description = ModelDescription(
        mean=mean,
        std=std,
        image_size=(side, side) if name.startswith("vit") or image_size else None,
        fixed_size=name.startswith("vit"),
        interpolation=interpolation,
        place="options.image_size",
    )
    return cast("nn.Module", model)


def images_of(name: str) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean, deviation and interpolation of the images for torchvision's own weights of a model."""
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    if name in _AUXILIARY:
        # with its weights torchvision sets `transform_input`, and the model turns ImageNet's values into these
        mean = std = _HALF
    return mean, std, preset.interpolation.value


def _last_layers(model: nn.Module) -> Iterator[str]:
    """The paths of the layers that may be the classifier: the last of them is it."""
    for path, module in model.named_modules():
        last = path.rsplit(".", 1)[-1]
        convolution = isinstance(module, nn.Conv2d) and path.startswith("classifier")  # SqueezeNet's
        if convolution or (isinstance(module, nn.Linear) and last != "out_proj"):
            yield path


@cache
def _class_of(cls: type[nn.Module]) -> type[nn.Module]:
    """The class with `Classifier` before it, so that adapters declared for torchvision's class serve it."""
    return type(cls.__name__, (Classifier, cls), {"__module__": __name__, "__doc__": cls.__doc__})
