"""What was removed from a model, as JSON values, and the same removal from another instance of the model.

A record has for each tensor that changed the indices that stay, and for each module that changed its new attributes. So
neither Torch-Pruning nor the original weights are needed to build the pruned model again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMAT: Final = 1
_PLAIN: Final = (int, float)


def make_record(before: nn.Module, places: nn.Module, after: nn.Module) -> dict[str, Any]:
    """The record of a removal.

    Args:
        before: the model before.
        places: the model after the same removal, in which each value is its index in the flat tensor before.
        after: the model after the removal.
    """
    kept: list[str] = []
    tensors: dict[str, dict[str, int]] = {}
    old, new = dict(named_tensors(before)), dict(named_tensors(after))
    for name, values in named_tensors(places):
        if new[name].shape == old[name].shape:
            continue
        dims: dict[str, int] = {}
        for dim, indices in _indices(values, old[name].shape):
            text = as_ranges(indices)
            if text not in kept:
                kept.append(text)
            dims[str(dim)] = kept.index(text)
        tensors[name] = dims
    return {"format": FORMAT, "kept": kept, "tensors": tensors, "attributes": _attributes(before, after)}


def remove(model: nn.Module, record: Mapping[str, Any]) -> nn.Module:
    """Remove from a model what a record says; the module is changed and returned.

    Raises:
        ValueError: the record is of another version.
        Exception: the record is of another model.
    """
    if record.get("format") != FORMAT:
        raise ValueError(f"its format is {record.get('format')!r}; this version of kd-prune reads {FORMAT}")
    kept = [from_ranges(text) for text in record["kept"]]
    for name, dims in record["tensors"].items():
        path, _, own = name.rpartition(".")
        holder = model.get_submodule(path)
        value: Tensor = getattr(holder, own)
        data = value.detach()
        for dim, number in dims.items():
            indices = torch.tensor(kept[number], device=data.device)
            data = data.index_select(int(dim), indices)
        if isinstance(value, nn.Parameter):
            setattr(holder, own, nn.Parameter(data, value.requires_grad))
        else:
            setattr(holder, own, data)
    for path, values in record["attributes"].items():
        holder = model.get_submodule(path)
        for own, given in values.items():
            setattr(holder, own, tuple(given) if isinstance(given, list) else given)
    return model


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a model by name; one that has two names comes once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def fill_with_places(model: nn.Module) -> None:
    """Replace each value of the parameters and floating-point buffers by its index in the flat tensor."""
    for _, tensor in named_tensors(model):
        if tensor.is_floating_point():
            # exact up to 2^53 values
            places = torch.arange(tensor.numel(), dtype=torch.float64, device=tensor.device)
            tensor.data = places.reshape(tensor.shape)


def as_ranges(indices: Sequence[int]) -> str:
    """Ascending indices as text: `0-3,5,7-9`."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def from_ranges(text: str) -> list[int]:
    """The indices of such a text."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _indices(places: Tensor, shape: torch.Size) -> Iterator[tuple[int, list[int]]]:
    """For each dimension that became smaller, the indices that stay."""
    flat = places.to(torch.int64)
    for dim in range(flat.dim()):
        if flat.shape[dim] == shape[dim]:
            continue
        step = 1
        for size in shape[dim + 1 :]:
            step *= size
        line = flat.movedim(dim, 0).reshape(flat.shape[dim], -1)[:, 0]
        yield dim, (line // step % shape[dim]).tolist()


def _attributes(before: nn.Module, after: nn.Module) -> dict[str, dict[str, Any]]:
    """The numbers, and tuples of numbers, of modules that changed: `out_channels`, `num_features`, ..."""
    old, found = dict(before.named_modules()), dict[str, dict[str, Any]]()
    for path, module in after.named_modules():
        own = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(module).items()
            if _is_number(value) and vars(old[path]).get(name) != value
        }
        if own:
            found[path] = own
    return found


def _is_number(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_number(item) for item in value)
    return isinstance(value, _PLAIN) and not isinstance(value, bool)
