"""The precision in which a loss is computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

WITHOUT_FLOAT64 = {"mps"}
"""Types of devices on which torch has no float64."""


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 if their type is narrower, otherwise unchanged."""
    return values if torch.finfo(values.dtype).bits >= 32 else values.float()


def widest_float(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device that has no float64."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast does not lower the precision of matrix products on this device."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
