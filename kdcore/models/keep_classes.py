"""Make a classifier give the logits of some of its classes, in another order."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kdcore.protocols import FeatureAdapter

_CLOSE = 1e-4
"""Largest difference between a logit before and after, relative to the largest logit."""


@runtime_checkable
class KeepsClasses(Protocol):
    """A model that chooses among its classes itself."""

    def keep_classes(self, rows: Tensor) -> None:
        """From now on give the logits of these classes `[K]`, in this order."""
        ...


class _Rows(nn.Module):
    """Added before a model's class: its output is cut to some classes."""

    kd_rows: Tensor

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        logits = super().forward(*arguments, **keywords)
        return logits.index_select(-1, self.kd_rows.to(logits.device))


def keep_classes(
    model: nn.Module,
    adapter: FeatureAdapter,
    rows: Sequence[int],
    known: int,
    shape: tuple[int, ...],
    where: str,
) -> None:
    """Change a model in place: its logits become those of the classes `rows`.

    The last layers of its classifiers are cut to these rows, so what reads the classifier sees the same classes. Where
    their weights are computed from others (weight norm, 8-bit grids), they are plain values afterwards. A model that
    does not show its classifier gets its output cut. On a device with values, one image is computed before and after,
    as a check.

    Args:
        model: gives logits of `known` classes.
        adapter: its feature adapter.
        rows: indices of its classes.
        known: the number of its classes.
        shape: of an image, `(C, H, W)`.
        where: the place of `teacher.classes`.

    Raises:
        UserError: the classes of this model cannot be chosen.
    """
    if list(rows) == list(range(known)):
        return
    chosen = torch.tensor(rows, dtype=torch.int64, device="cpu")
    if isinstance(model, KeepsClasses):
        model.keep_classes(chosen)
        return
    before = _logits(model, adapter, shape)

    def same() -> bool:
        return _same(before, _logits(model, adapter, shape), chosen)

    choices = _last_layers(model, known)
    for layers in choices:
        kept = [_cut(layer, chosen) for layer in layers]
        with contextlib.suppress(RuntimeError):  # other layers do not fit any more
            if same():
                if getattr(model, "num_classes", None) == known:
                    cast("Any", model).num_classes = len(rows)
                return
        for layer, parameters in zip(layers, kept, strict=True):
            _put(layer, parameters, known)
    if not choices:
        model.register_buffer("kd_rows", chosen)  # also part of the model's identity
        model.__class__ = _class_of(cast("Any", type(model)))
        if same():
            return
    message = f"the classes of {type(model).__name__} cannot be chosen: its last layer is not linear"
    raise UserError(Problem(where, message, hint="use a teacher with the classes of the data in their order"))


def _last_layers(model: nn.Module, known: int) -> list[list[nn.Module]]:
    """Layers that may be those that give the logits: the last ones of each classifier, then all of a fitting size.

    A classifier may be the mean of two, as that of distilled models. The list is empty if the model shows none.
    """
    get = getattr(model, "get_classifier", None)
    found = get() if callable(get) else None
    classifiers = list(found) if isinstance(found, tuple | list) else [found]
    fitting = [list(_linear(one, known)) for one in classifiers if isinstance(one, nn.Module)]
    fitting = [layers for layers in fitting if layers]
    if not fitting:
        return []
    last, every = [layers[-1] for layers in fitting], [layer for layers in fitting for layer in layers]
    return [last] if len(last) == len(every) else [last, every]


def _linear(classifier: nn.Module, known: int) -> Iterator[nn.Module]:
    for module in classifier.modules():
        width = module.out_features if isinstance(module, nn.Linear) else None
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            width = module.out_channels
        if width == known:
            yield module


def _cut(layer: nn.Module, rows: Tensor) -> dict[str, nn.Parameter]:
    """Keep these rows; returns the parameters as they were."""
    if parametrize.is_parametrized(layer):
        _make_plain(layer)
    before = dict(layer.named_parameters(recurse=False))
    cut = {
        name: nn.Parameter(value.detach()[rows.to(value.device)], requires_grad=value.requires_grad)
        for name, value in before.items()
    }
    _put(layer, cut, len(rows))
    return before


def _make_plain(layer: nn.Module) -> None:
    """Replace weights that are computed from others by parameters with their values."""
    learns = any(parameter.requires_grad for parameter in layer.parameters())
    for name in list(cast("Any", layer).parametrizations):
        parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
        value = getattr(layer, name).detach()
        delattr(layer, name)  # it is a buffer if nothing learns
        layer.register_parameter(name, nn.Parameter(value, requires_grad=learns))


def _put(layer: nn.Module, parameters: Mapping[str, nn.Parameter], width: int) -> None:
    for name, value in parameters.items():
        setattr(layer, name, value)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", width)


@torch.no_grad()
def _logits(model: nn.Module, adapter: FeatureAdapter, shape: tuple[int, ...]) -> Tensor:
    parameter = next(model.parameters(), None)
    device = torch.get_default_device() if parameter is None else parameter.device
    images = torch.linspace(-1, 1, 2 * shape[0] * shape[1] * shape[2], device=device).reshape(2, *shape)
    if parameter is not None:
        images = images.to(parameter.dtype)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        output = adapter.forward(model, images, (), False).logits
    finally:
        for module, training in modes.items():
            module.training = training
    assert output is not None
    return output


def _same(before: Tensor, after: Tensor, rows: Tensor) -> bool:
    if after.shape != (len(before), len(rows)):
        return False
    if before.is_meta:
        return True
    wanted = before[:, rows.to(before.device)]
    # a logit that is not finite is reported where the teacher is measured
    close = _CLOSE * float(before.nan_to_num().abs().max().clamp(min=1e-6))
    return torch.allclose(after, wanted, rtol=0, atol=close, equal_nan=True)


@cache
def _class_of(cls: type[nn.Module]) -> type[nn.Module]:
    return type(cls.__name__, (_Rows, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})
