"""How large a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def count_parameters(module: nn.Module) -> int:
    """The number of a module's parameters, trained or frozen."""
    return sum(parameter.numel() for parameter in module.parameters())
