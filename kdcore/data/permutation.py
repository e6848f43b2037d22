"""A permutation as a function of keys: any part of it is computed without the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from kdcore.data.keyed_randomness import keyed_numbers, mix64

Places = np.ndarray[Any, np.dtype[np.int64]]

if TYPE_CHECKING:
    Words = np.ndarray[Any, np.dtype[np.uint64]]

SORTED: Final = 1 << 16
"""Up to this size a permutation is sorted numbers: some milliseconds and half a megabyte."""
_ROUNDS: Final = 8
_FIRST: Final = np.uint64(0xFF51AFD7ED558CCD)
_SECOND: Final = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT: Final = np.uint64(33)


class Order(Protocol):
    """Positions in their order: an array, or a `Permutation`."""

    def __len__(self) -> int: ...
    def __getitem__(self, places: Places, /) -> Places:
        """The positions at these places."""


def permutation(size: int, *keys: int) -> Order:
    """A permutation of `size` positions; up to `SORTED` each one is equally likely."""
    if size > SORTED:
        return Permutation(size, *keys)
    return np.argsort(keyed_numbers(size, *keys), kind="stable")


class Permutation:
    """A permutation of `size` positions that is not kept in memory.

    A Feistel network permutes the numbers of the next power of two; a number outside the positions is permuted again,
    until it is one of them ("cycle walking": less than two passes on average). Source: Black and Rogaway 2002,
    "Ciphers with arbitrary finite domains".

    Args:
        size: the number of positions, 4 or more.
        keys: what the permutation is a function of.
    """

    def __init__(self, size: int, *keys: int) -> None:
        self._size = size
        bits = (size - 1).bit_length()
        self._low = np.uint64(bits // 2)  # bits of the lower half; the upper one may have one more
        self._masks = tuple(np.uint64((1 << half) - 1) for half in (bits - bits // 2, bits // 2))
        self._keys = tuple(np.uint64(mix64(*keys, number)) for number in range(_ROUNDS))

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, places: Places) -> Places:
        found = self._permuted(places.ravel().astype(np.uint64))
        outside = np.flatnonzero(found >= self._size)
        while len(outside):
            found[outside] = self._permuted(found[outside])
            outside = outside[found[outside] >= self._size]
        return found.astype(np.int64).reshape(places.shape)

    def _permuted(self, numbers: Words) -> Words:
        """Each half in turn is changed by a function of the other, which can be undone."""
        halves = [numbers >> self._low, numbers & self._masks[1]]
        for number, key in enumerate(self._keys):
            changed = number % 2
            halves[changed] = halves[changed] ^ (_mixed(halves[1 - changed] ^ key) & self._masks[changed])
        return (halves[0] << self._low) | halves[1]


def _mixed(numbers: Words) -> Words:
    """The finaliser of MurmurHash3, 64 bits."""
    numbers = (numbers ^ (numbers >> _SHIFT)) * _FIRST
    numbers = (numbers ^ (numbers >> _SHIFT)) * _SECOND
    return numbers ^ (numbers >> _SHIFT)
