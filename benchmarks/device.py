"""The device that is measured: an accelerator if there is one, otherwise the processor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """Where models and tensors of a case belong."""
    import torch

    if torch.accelerator.is_available():
        found = torch.accelerator.current_accelerator()
        assert found is not None
        return found
    return torch.device("cpu")


def synchronize() -> None:
    """Wait for the accelerator; nothing where torch is not even imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.accelerator.is_available():
        torch.accelerator.synchronize()
