"""An epoch's order over shards: the shards in random order, and the samples of some neighbours mixed.

So a few shards are read at a time, any place of the order is found without the places before it, and neither loader
processes nor processes of the run change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kdcore.data.keyed_randomness import ORDER, keyed_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.data.draws import Positions
    from kdcore.data.permutation import Places

MIXED_SAMPLES: Final = 1 << 14
"""Neighbouring shards are mixed until they have this number of samples together,"""
MIXED_SHARDS: Final = 16
"""or are this many,"""
MIXED_BYTES: Final = 1 << 28
"""or would fill this much memory of a process that reads them."""
_SHARDS: Final = -5  # last keys of the numbers of the shards' order, and of the groups' orders
_GROUP: Final = -6


@dataclass(frozen=True, eq=False)
class Shards:
    """The parts of a source that are read as a whole; their samples follow one another.

    Attributes:
        names: the file of each part, and where in it if it has several `[P]`.
        sizes: the samples of each `[P]`.
        loaded: the bytes that a process needs for each while it is open `[P]`.
        files: the files that they are in.
    """

    names: tuple[str, ...]
    sizes: Positions
    loaded: Positions
    files: tuple[Path, ...] = ()

    def find(self, index: int) -> tuple[int, int]:
        """The shard of a sample, and the sample's number in it."""
        shard = int(np.searchsorted(self.ends, index, side="right"))
        return shard, index - int(self.ends[shard] - self.sizes[shard])

    @property
    def ends(self) -> Positions:
        """For each shard the position after its last sample `[P]`."""
        found = self.__dict__.get("_ends")
        if found is None:
            found = self.__dict__["_ends"] = np.cumsum(self.sizes)
        return found


class ShardOrder:
    """The order of an epoch: a permutation of all samples."""

    def __init__(self, shards: Shards, seed: int, epoch: int) -> None:
        self._keys = (ORDER, seed, epoch)
        chosen = np.argsort(keyed_numbers(len(shards.sizes), *self._keys, _SHARDS), kind="stable")
        sizes = shards.sizes[chosen]
        self._firsts = (shards.ends - shards.sizes)[chosen]  # positions
        self._ends = np.cumsum(sizes)  # places
        self._starts = self._ends - sizes
        self._groups = _groups(sizes, shards.loaded[chosen])
        self._mixed: dict[int, Positions] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, places: Places) -> Places:
        flat = places.ravel()
        found = np.empty_like(flat)
        groups = np.searchsorted(self._groups, flat, side="right") - 1
        for group in np.unique(groups).tolist():
            own = groups == group
            found[own] = self._of_group(group)[flat[own] - self._groups[group]]
        shards = np.searchsorted(self._ends, found, side="right")
        return (self._firsts[shards] + found - self._starts[shards]).reshape(places.shape)

    def _of_group(self, group: int) -> Positions:
        """The places of a group's samples, mixed."""
        if group not in self._mixed:
            while len(self._mixed) > 1:  # a batch is in two groups at most, unless they are tiny
                del self._mixed[next(iter(self._mixed))]
            first, last = int(self._groups[group]), int(self._groups[group + 1])
            numbers = keyed_numbers(last - first, *self._keys, _GROUP, group)
            self._mixed[group] = first + np.argsort(numbers, kind="stable")
        return self._mixed[group]


def _groups(sizes: Positions, loaded: Positions) -> Positions:
    """The first place of each group of shards, and the end of all."""
    firsts, place = [0], 0
    samples = shards = needed = 0
    for size, more in zip(sizes.tolist(), loaded.tolist(), strict=True):
        full = samples >= MIXED_SAMPLES or shards >= MIXED_SHARDS or needed + more > MIXED_BYTES
        if full and samples:
            firsts.append(place)
            samples = shards = needed = 0
        samples, shards, needed, place = samples + size, shards + 1, needed + more, place + size
    return np.array([*firsts, place], dtype=np.int64)
