"""The samples of each batch: a function of seed and epoch, so that processes agree without communication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from torch.utils.data import Sampler

from kdcore.data.draws import times_before
from kdcore.data.keyed_randomness import ORDER
from kdcore.data.permutation import permutation
from kdcore.data.shard_order import ShardOrder
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data.draws import Draw
    from kdcore.data.permutation import Order, Places
    from kdcore.data.shard_order import Shards

Key = tuple[int, int]  # epoch, position in the training set
REPEAT: Final = 1 << 40  # added to the epoch of a key for each time that the epoch had the sample before
_AT_ONCE: Final = 4096  # samples whose positions are computed together


def epoch_order(seed: int, epoch: int, size: int) -> Order:
    """The order of an epoch: a permutation of `size` positions, of which any part is computed without the rest."""
    return permutation(size, ORDER, seed, epoch)


def whole_batches(size: int, batch_size: int, world: int) -> tuple[int, int]:
    """The number of batches of an epoch, and their size over all processes.

    The last batch is dropped if it is not full; fewer samples than a batch form one smaller batch.

    Raises:
        UserError: a batch cannot be divided among the processes.
    """
    if batch_size % world:
        raise UserError(
            Problem(
                "train.batch_size",
                f"the whole batch cannot be divided among {world} processes",
                value=batch_size,
                hint=f"Nearest: {max(1, round(batch_size / world)) * world}.",
            )
        )
    if size >= batch_size:
        return size // batch_size, batch_size
    if size % world:
        message = f"there are only {size} training images, which cannot be divided among {world} processes"
        raise UserError(Problem("train.batch_size", message, value=batch_size, hint="Use fewer processes."))
    return 1, size


class EpochBatches(Sampler[list[Key]]):
    """This process's part of each whole batch, as (epoch, position) keys.

    Process r of `world` has the r-th of equal, contiguous parts of each batch. `epoch` and `skip` (batches
    left out at the start) may be set between two passes, for the next pass. With `augmentations`, each sample has only
    this number of variants: the keys have the epoch modulo that. `draw` chooses the samples of an epoch; a sample that
    an epoch has several times is augmented differently each time. Without it each epoch has every sample once; with
    `shards` in an order that reads one shard after another.
    """

    def __init__(
        self,
        seed: int,
        size: int,
        batch_size: int,
        rank: int,
        world: int,
        augmentations: int | None = None,
        draw: Draw | None = None,
        shards: Shards | None = None,
    ) -> None:
        self.batches, self.whole = whole_batches(size, batch_size, world)
        self.epoch = 0
        self.skip = 0
        self._seed, self._size, self._augmentations = seed, size, augmentations
        self._draw, self._shards = draw, shards
        self._part = self.whole // world
        self._start = rank * self._part

    def __len__(self) -> int:
        return self.batches - self.skip

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        before: Places | None = None
        if self._shards is not None:
            order: Order = ShardOrder(self._shards, self._seed, epoch)
        elif self._draw is None:
            order = epoch_order(self._seed, epoch, self._size)
        else:
            order = drawn = self._draw(self._seed, epoch, self.batches, self.whole)
            before = times_before(drawn) if self._augmentations is None else None
        augmentation = epoch if self._augmentations is None else epoch % self._augmentations
        for places in self._places():
            positions = order[places].tolist()
            if before is None:
                yield from ([(augmentation, position) for position in batch] for batch in positions)
                continue
            for batch, counts in zip(positions, before[places].tolist(), strict=True):
                yield [
                    (augmentation + REPEAT * count, position)
                    for count, position in zip(counts, batch, strict=True)
                ]

    def _places(self) -> Iterator[Places]:
        """The places of this process's samples in the order of the epoch, `[batches, part]`: some batches at once."""
        own = np.arange(self._start, self._start + self._part)
        several = max(1, _AT_ONCE // self._part)
        for first in range(self.skip, self.batches, several):
            starts = np.arange(first, min(first + several, self.batches)) * self.whole
            yield starts[:, None] + own
