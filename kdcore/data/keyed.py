"""Randomness as a function of keys: the same numbers draw the same in any process and order."""

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

ORDER, AUGMENT, SUBSET, MIX, LOADER = range(5)  # first key of each use, so that no two share their numbers


def mix64(*keys: int) -> int:
    """A 64-bit number for a sequence of integers.

    Each step is splitmix64's, a bijection: with all other keys equal, different last keys (modulo 2^64)
    never give the same number. Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators".
    """
    state = 0
    for key in keys:
        state = (state + key + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def keyed_numbers(count: int, *keys: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """`count` random 64-bit numbers for the keys, the same with every version of numpy.

    Generator's methods may change between versions, the raw stream of a bit generator may not.
    """
    return np.random.PCG64(mix64(*keys)).random_raw(count)


def seed_sample(*keys: int) -> None:
    """Seed what augmentations draw from: Python's, numpy's and torch's global generators, on the CPU only."""
    state = mix64(AUGMENT, *keys)
    random.seed(state)
    np.random.seed((state & 0xFFFFFFFF, state >> 32))
    torch.default_generator.manual_seed(state)  # torch.manual_seed would seed the accelerators, too


@contextmanager
def kept_generators() -> Iterator[None]:
    """Give the global generators their states back at the end; in a loader process nobody else uses them."""
    if get_worker_info() is not None:
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
