"""torchvision's classifiers for any number of classes and channels, with what kd asks of a model."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, cast

import torch
import torchvision
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

_IMAGENET: Final = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_AUXILIARY: Final = (
    "googlenet",
    "inception_v3",
)  # with an auxiliary classifier, which would return additional logits


class Classifier(nn.Module):
    """What is added to torchvision's classes; the weights keep their names."""

    classifier_path: str

    def get_classifier(self) -> nn.Module:
        """The last layer; by it kd sees how many classes a checkpoint knows."""
        return self.get_submodule(self.classifier_path)


def build(name: str, num_classes: int, in_chans: int, *, stem: str = "imagenet", **options: Any) -> nn.Module:
    """Torchvision's model of this name, with its initial weights.

    Args:
        name: torchvision's.
        num_classes: K.
        in_chans: channels of the images; other than 3 replace the first convolution.
        stem: 'cifar' for the ResNets' variant for small images.
        options: of torchvision's constructor; None: left out.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if name in _AUXILIARY:
        given |= {"aux_logits": False, "init_weights": True}
    device = torch.get_default_device()
    # RegNet's constructor reads numbers from tensors, which the meta device does not have
    with torch.device("cpu") if name.startswith("regnet") else nullcontext():
        model = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **given)
    model.to(device)
    if stem == "cifar":
        model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    if in_chans != 3:
        _change_channels(model, in_chans)
    path = _classifier_path(model, num_classes)
    model.__class__ = _class_of(cast("Any", type(model)))
    model.classifier_path = path
    model.num_classes = num_classes
    size = 32 if stem == "cifar" else given.get("image_size", 299 if name == "inception_v3" else 224)
    # kd reads the input from here, as timm does
    model.pretrained_cfg = {
        **_IMAGENET,
        "input_size": (3, size, size),
        "interpolation": "bilinear",
        "crop_pct": 1.0 if size <= 64 else 0.875,
        "num_classes": num_classes,
        "classifier": path,
    }
    return cast("nn.Module", model)


@cache
def _class_of(cls: type[nn.Module]) -> type[nn.Module]:
    """The class with `Classifier` before it, so that adapters declared for torchvision's class still serve it."""
    return type(cls.__name__, (Classifier, cls), {"__module__": __name__, "__doc__": cls.__doc__})


def _classifier_path(model: nn.Module, num_classes: int) -> str:
    found = ""
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.out_features == num_classes:
            found = path
        elif (
            isinstance(module, nn.Conv2d)
            and module.out_channels == num_classes
            and path.startswith("classifier")
        ):
            found = path  # SqueezeNet's
    return found


def _change_channels(model: nn.Module, in_chans: int) -> None:
    path, first = next((path, one) for path, one in model.named_modules() if isinstance(one, nn.Conv2d))
    parent, _, name = path.rpartition(".")
    changed = nn.Conv2d(
        in_chans,
        first.out_channels,
        cast("tuple[int, int]", first.kernel_size),
        cast("tuple[int, int]", first.stride),
        cast("tuple[int, int]", first.padding),
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(changed.weight, mode="fan_out", nonlinearity="relu")
    setattr(model.get_submodule(parent), name, changed)


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """A constructor for each name of torchvision's, as the declarations name them."""
    if name.startswith("_") or name not in torchvision.models.list_models(module=torchvision.models):
        raise AttributeError(f"torchvision has no model {name!r}")
    return partial(build, name)
