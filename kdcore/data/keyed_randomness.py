"""Randomness as a function of keys: the same keys give the same numbers in any process and order."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.utils.data import get_worker_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15

Draws = frozenset[str]
"""The global generators that something draws from."""
PYTHON: Final[Draws] = frozenset({"python"})
NUMPY: Final[Draws] = frozenset({"numpy"})
TORCH: Final[Draws] = frozenset({"torch"})
ALL: Final[Draws] = PYTHON | NUMPY | TORCH

ORDER, AUGMENT, SUBSET, MIX, LOADER, PARTNER, BOOTSTRAP = range(
    7
)  # first key of each use, so that no two uses share numbers


def mix64(*keys: int, state: int = 0) -> int:
    """A 64-bit number for a sequence of integers; pass the number of the first ones as `state` to add the others.

    Each step is splitmix64's, a bijection: with all other keys equal, different last keys (modulo 2^64)
    never give the same number. Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators".
    """
    for key in keys:
        state = (state + key + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def keyed_numbers(count: int, *keys: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """`count` random 64-bit numbers for the keys, the same with every version of numpy.

    The methods of Generator may change between versions; the raw stream of a bit generator does not.
    """
    return np.random.PCG64(mix64(*keys)).random_raw(count)


def seed_sample(*keys: int, draws: Draws = ALL) -> None:
    """Seed the generators that augmentations draw from: `draws` among Python's, numpy's and torch's (CPU only).

    Seeding numpy takes as long as cropping and flipping a small image.
    """
    if draws:
        seed_generators(mix64(AUGMENT, *keys), draws)


def seed_generators(state: int, draws: Draws) -> None:
    """Seed some of the global generators with a 64-bit number."""
    if "python" in draws:
        random.seed(state)
    if "numpy" in draws:
        np.random.seed((state & 0xFFFFFFFF, state >> 32))
    if "torch" in draws:
        torch.default_generator.manual_seed(state)  # torch.manual_seed would also seed the accelerators


@contextmanager
def kept_generators(draws: Draws = ALL) -> Iterator[None]:
    """Restore the global generators' states at the end; in a loader process nothing else uses them."""
    if get_worker_info() is not None:
        yield
        return
    python = random.getstate() if "python" in draws else None
    numpy = np.random.get_state() if "numpy" in draws else None
    torchs = torch.default_generator.get_state() if "torch" in draws else None
    try:
        yield
    finally:
        if python is not None:
            random.setstate(python)
        if numpy is not None:
            np.random.set_state(numpy)
        if torchs is not None:
            torch.default_generator.set_state(torchs)
