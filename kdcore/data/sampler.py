"""The samples of each batch: a function of seed and epoch, so that processes agree without communication."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

from kdcore.data.draws import times_before
from kdcore.data.keyed_randomness import ORDER, keyed_numbers
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data.draws import Draw, Positions

Key = tuple[int, int]  # epoch, position in the training set
_REPEAT = 1 << 40  # added to the epoch of a key for each time that the epoch had the sample before


def epoch_order(seed: int, epoch: int, size: int) -> Positions:
    """The order of an epoch: a permutation of `size` positions."""
    return np.argsort(keyed_numbers(size, ORDER, seed, epoch), kind="stable")


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
    an epoch has several times is augmented differently each time. Without it each epoch has every sample once.
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
    ) -> None:
        self.batches, self.whole = whole_batches(size, batch_size, world)
        self.epoch = 0
        self.skip = 0
        self._seed, self._size, self._augmentations = seed, size, augmentations
        self._draw = draw
        self._part = self.whole // world
        self._start = rank * self._part

    def __len__(self) -> int:
        return self.batches - self.skip

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        before: Positions | None = None
        if self._draw is None:
            order = epoch_order(self._seed, epoch, self._size)
        else:
            order = self._draw(self._seed, epoch, self.batches, self.whole)
            before = times_before(order)
        augmentation = epoch if self._augmentations is None else epoch % self._augmentations
        for batch in range(self.skip, self.batches):
            start = batch * self.whole + self._start
            positions = order[start : start + self._part].tolist()
            if before is None or self._augmentations is not None:
                yield [(augmentation, position) for position in positions]
                continue
            repeats = before[start : start + self._part].tolist()
            yield [
                (augmentation + _REPEAT * count, position)
                for count, position in zip(repeats, positions, strict=True)
            ]
