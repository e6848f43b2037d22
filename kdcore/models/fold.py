"""Batch norm folded into the convolution before it: a frozen teacher's layers, fewer and the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn

from kdcore.ops import widest_float

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.utils.hooks import RemovableHandle

_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)  # and no subclass, which may compute its weight from another
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
_CLOSE = 1e-3  # of the largest value: rounding is below 1e-4, a wrong fold beyond 1e-1


@dataclass(frozen=True)
class _Pair:
    """A convolution whose output one batch norm reads, and that norm's place."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    parent: nn.Module
    name: str


def fold_batch_norm(model: nn.Module, run: Callable[[], list[Tensor]]) -> int:
    """Fold each batch norm of a frozen model in eval mode into the convolution that it follows, in place.

    Which norm follows which convolution is seen in a pass, not guessed from names. Then all outputs are compared with
    those from before: where one is another, as when the convolution's output goes to a third place too, the model
    is left as it was. Modules with hooks, whose outputs somebody reads, are left out.

    Args:
        model: with weights that are not trained any more.
        run: one pass on images of its choice; every output that is read of the model.

    Returns:
        How many were folded.
    """
    if not any(type(module) in _NORMS for module in model.modules()):
        return 0
    with torch.no_grad():
        pairs, before = _watched(model, run)
        # the weights are written in place: new ones would leave holes of their size in the heap
        kept = [(pair.convolution.weight.clone(), pair.convolution.bias) for pair in pairs]
        for pair in pairs:
            _fold(pair)
        if not pairs or _unchanged(before, run):
            return len(pairs)
        for pair, (weight, bias) in zip(pairs, kept, strict=True):
            pair.convolution.weight.copy_(weight)
            pair.convolution.bias = bias
            setattr(pair.parent, pair.name, pair.norm)
        return 0


def _watched(model: nn.Module, run: Callable[[], list[Tensor]]) -> tuple[list[_Pair], list[Tensor]]:
    """One pass: the pairs in it, and its outputs."""
    made: dict[
        int, tuple[nn.Conv2d, Tensor]
    ] = {}  # by the output's identity; held, so that none is given again
    runs: dict[nn.Module, int] = {}
    feeds: dict[nn.Module, nn.Conv2d] = {}

    def convolved(module: nn.Module, _: Any, output: Tensor) -> None:
        runs[module] = runs.get(module, 0) + 1
        made[id(output)] = (module, output)  # type: ignore[assignment]

    def normalising(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        runs[module] = runs.get(module, 0) + 1
        source = made.get(id(arguments[0])) if arguments else None
        if source is not None:
            feeds[module] = source[0]

    handles: list[RemovableHandle] = []
    places: dict[nn.Module, tuple[nn.Module, str]] = {}
    for parent in model.modules():
        for name, module in parent.named_children():
            if _hooked(module):
                continue
            places[module] = (parent, name)
    for module in places:
        if type(module) in _CONVOLUTIONS:
            handles.append(module.register_forward_hook(convolved))
        elif type(module) in _NORMS and module.running_var is not None:
            handles.append(module.register_forward_pre_hook(normalising))
    try:
        outputs = run()
    finally:
        for handle in handles:
            handle.remove()
    pairs = [
        _Pair(convolution, norm, *places[norm])  # type: ignore[arg-type]
        for norm, convolution in feeds.items()
        if runs[norm] == runs[convolution] == 1
    ]
    return pairs, outputs


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _fold(pair: _Pair) -> None:
    convolution, norm = pair.convolution, pair.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    wide = widest_float(norm.running_var.device)
    scale = (norm.running_var.to(wide) + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.to(wide)
    shift = (
        -norm.running_mean.to(wide)
        if convolution.bias is None
        else convolution.bias.to(wide) - norm.running_mean
    )
    bias = shift * scale + (0 if norm.bias is None else norm.bias.to(wide))
    weight = convolution.weight
    weight.mul_(scale.to(weight.dtype).view(-1, 1, 1, 1))
    convolution.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)
    rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
    setattr(pair.parent, pair.name, rest.eval())


def _unchanged(before: list[Tensor], run: Callable[[], list[Tensor]]) -> bool:
    try:
        after = run()
    except Exception:  # the model asks its norm for something that only a norm has
        return False
    return all(
        bool((one - other).abs().max() <= _CLOSE * one.abs().max().clamp(min=1e-6))
        for one, other in zip(before, after, strict=True)
    )
