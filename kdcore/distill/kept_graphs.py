"""Distillers that keep a tensor of a step with its graph, so that the next backward pass goes into it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from kdcore.plugins.owner import owned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.distill.distillation import Distillation


def kept_graphs(distillation: Distillation) -> list[str]:
    """For a message: each distiller that keeps such a tensor, its plugin, and the tensor's name."""
    found = []
    for name, distiller in zip(distillation.names, distillation.distillers, strict=True):
        kept = kept_graph(distiller)
        if kept is not None:
            who = owned(f"distiller '{name}'", distiller)
            found.append(f"{who} keeps '{kept}'")
    return found


def kept_graph(module: nn.Module) -> str | None:
    """The name of a buffer or attribute that has a graph; None: there is none."""
    for path, part in module.named_modules():
        for name, value in (*part.named_buffers(recurse=False), *vars(part).items()):
            if any(tensor.grad_fn is not None for tensor in _tensors(value)):
                return f"{path}.{name}" if path else name
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | set | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
