"""The precision in which a loss is computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 if their type is narrower, otherwise unchanged."""
    return values if torch.finfo(values.dtype).bits >= 32 else values.float()


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast does not lower the precision of matrix products on this device."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
