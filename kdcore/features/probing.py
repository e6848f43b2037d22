"""Measure shapes without memory or arithmetic: a forward pass on the meta device."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from kdcore import compat
from kdcore.errors import Problem, UserError
from kdcore.protocols import StageInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")


class ProbedStages(tuple[StageInfo, ...]):
    """Stages whose shapes were measured in a forward pass, so a second one is not needed."""

    __slots__ = ()


def probe(
    model: nn.Module, image_size: tuple[int, int], in_chans: int, look: Callable[[nn.Module, Tensor], Result]
) -> Result:
    """What `look(copy, images)` returns for a weightless copy of the model in evaluation mode.

    The copy is on the meta device, which needs no memory and no arithmetic. A model whose shapes depend on values runs
    on the CPU instead, with one image and the model's own weights. The model, its mode and the state of the random
    generators do not change.

    Raises:
        UserError: the model cannot take images of this size.
    """
    with torch.no_grad():
        try:
            images = torch.empty(2, in_chans, *image_size, dtype=_dtype(model), device="meta")
            return look(skeleton(model, _on_meta), images)
        except UserError:
            raise
        except Exception:  # some models read a tensor's value, and meta tensors do not have one
            return _probe_on_cpu(model, image_size, in_chans, look)


def skeleton(model: nn.Module, place: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy in evaluation mode without hooks, whose parameters and buffers are `place(tensor)`."""
    model = cast("nn.Module", getattr(model, "_orig_mod", model))  # torch.compile's wrapper
    tensors = [*model.parameters(), *model.buffers(), *_kept_tensors(model)]
    memo: dict[int, Any] = {id(tensor): _like(tensor, place(tensor.detach())) for tensor in tensors}
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        for name in compat.FORWARD_HOOKS:
            getattr(module, name).clear()
    return twin.eval()


def _dtype(model: nn.Module) -> torch.dtype:
    """The number format of a model's weights, in which it takes images."""
    found = next((one.dtype for one in model.parameters() if one.is_floating_point()), torch.float32)
    return found if found in (torch.float64, torch.float16, torch.bfloat16) else torch.float32


def _kept_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Tensors that modules keep in other attributes than parameters and buffers, such as LeViT's attention biases."""
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, dict):
                yield from (item for item in value.values() if isinstance(item, Tensor))
            elif isinstance(value, list | tuple):
                yield from (item for item in value if isinstance(item, Tensor))


def _like(tensor: Tensor, placed: Tensor) -> Tensor:
    return nn.Parameter(placed, requires_grad=False) if isinstance(tensor, nn.Parameter) else placed


def _on_meta(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")


def _on_cpu(tensor: Tensor) -> Tensor:
    if tensor.device.type == "meta":  # zeros of any shape in the memory of one
        return torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
    return tensor.cpu()


def _probe_on_cpu(
    model: nn.Module, image_size: tuple[int, int], in_chans: int, look: Callable[[nn.Module, Tensor], Result]
) -> Result:
    try:
        # the device is named, because the caller's default device may be another one
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return look(skeleton(model, _on_cpu), torch.zeros(1, in_chans, *image_size, dtype=_dtype(model)))
    except UserError:
        raise
    except Exception as error:
        height, width = image_size
        cause = str(error).strip().splitlines()
        raise UserError(
            Problem(
                "",
                f"{type(model).__name__} cannot take images of {height}x{width} pixels with {in_chans} "
                f"channels: {cause[0] if cause else type(error).__name__}",
                hint="set another image_size, or build the model for this one with its options",
            )
        ) from error
