"""Seeds for the parts of a run: each is a function of the run's seed and the name of the part."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *key: str | int) -> int:
    """A 63-bit seed for `key`, independent between keys."""
    digest = blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the global generators that a step on `device` draws from.

    `torch.manual_seed` seeds those of every kind of device, and keeps a stack trace for each kind that is missing:
    half a millisecond in each step.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
