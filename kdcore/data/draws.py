"""Which samples an epoch has, in their order: a function of seed and epoch.

A pool draws from some of the samples: in shuffled passes, balanced over classes, or by weights. `Draw` combines the
pools of the labelled and the other samples into the batches of an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kdcore.data.keyed_randomness import ORDER, keyed_numbers

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]
Weights = np.ndarray[Any, np.dtype[np.float64]]
# last keys of the numbers of each pool and of their mixing; a balanced pool also has those from 0 on
_LABELLED: Final = -2
_OTHERS: Final = -3
_TOGETHER: Final = -4


@dataclass(frozen=True, eq=False)
class Pool:
    """Samples to draw from.

    Attributes:
        members: their positions in the training set `[n]`.
        classes: the class of each `[n]`, to draw all classes equally often; None: not balanced.
        weights: the weight of each `[n]`, to draw in proportion to it; None: all alike.
    """

    members: Positions
    classes: Positions | None = None
    weights: Weights | None = None

    def draw(self, count: int, *keys: int) -> Positions:
        """`count` positions, in random order."""
        if self.weights is not None:
            return self.members[weighted_draws(self.weights, count, *keys)]
        if self.classes is not None:
            return self.members[balanced_draws(self.classes, count, *keys)]
        passes = [
            np.argsort(keyed_numbers(len(self.members), *keys, number), kind="stable")
            for number in range(-(-count // len(self.members)))
        ]
        return self.members[np.concatenate(passes)[:count]]


@dataclass(frozen=True, eq=False)
class Draw:
    """The samples of each epoch, if they are not just shuffled.

    Attributes:
        labelled: the samples with a label, or all.
        others: those without; None: all are in one pool.
        per_batch: how many of a batch have a label; None: in an epoch as many as there are, anywhere in it.
    """

    labelled: Pool
    others: Pool | None = None
    per_batch: int | None = None

    def __call__(self, seed: int, epoch: int, batches: int, batch_size: int) -> Positions:
        """The positions of an epoch; the batches are parts of them, one after another."""
        keys = (ORDER, seed, epoch)
        if self.others is None:
            return self.labelled.draw(len(self.labelled.members), *keys)
        if self.per_batch is None:
            counts = len(self.labelled.members), len(self.others.members)
            rows = 1
        else:
            counts, rows = (batches * self.per_batch, batches * (batch_size - self.per_batch)), batches
        drawn = [
            pool.draw(count, *keys, key).reshape(rows, -1)
            for pool, count, key in zip(
                (self.labelled, self.others), counts, (_LABELLED, _OTHERS), strict=True
            )
        ]
        together = np.concatenate(drawn, axis=1)
        mixed = np.argsort(keyed_numbers(together.size, *keys, _TOGETHER).reshape(together.shape), axis=1)
        return np.take_along_axis(together, mixed, axis=1).ravel()


def balanced_draws(labels: Positions, count: int, *keys: int) -> Positions:
    """`count` draws in which all classes are equally frequent, as positions in the labels `[N]`.

    It goes in rounds: each takes one sample of every class, with the classes in random order. A class takes its samples
    in a random order, and again in another one when it has no more. So the class counts differ by at most one, and the
    samples of a class too.
    """
    classes, counts = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    rounds = -(-count // len(classes))
    drawn = np.empty((rounds, len(classes)), dtype=np.int64)
    for column, own in enumerate(members):
        passes = [
            own[np.argsort(keyed_numbers(len(own), *keys, column, number), kind="stable")]
            for number in range(-(-rounds // len(own)))
        ]
        drawn[:, column] = np.concatenate(passes)[:rounds]
    mixed = np.argsort(keyed_numbers(drawn.size, *keys, -1).reshape(drawn.shape), axis=1)
    return np.take_along_axis(drawn, mixed, axis=1).ravel()[:count]


def weighted_draws(weights: Weights, count: int, *keys: int) -> Positions:
    """`count` draws in proportion to the weights `[N]`, as positions in them.

    A sample of weight w comes count * w / sum(w) times, rounded up or down at random: systematic sampling of the
    samples in random order (Madow 1949). Equal weights and count = N give each sample once.
    """
    possible = np.flatnonzero(weights > 0)
    possible = possible[np.argsort(keyed_numbers(len(possible), *keys, 0), kind="stable")]
    ends = np.cumsum(weights[possible])
    numbers = keyed_numbers(count + 1, *keys, 1)
    offset = float(numbers[0] >> np.uint64(11)) * 2.0**-53
    points = (np.arange(count) + offset) * (ends[-1] / count)
    places = np.searchsorted(ends, points, side="right").clip(max=len(possible) - 1)
    chosen: Positions = possible[places]
    return chosen[np.argsort(numbers[1:], kind="stable")]


def times_before(positions: Positions) -> Positions:
    """How often each position was there before, `[N]`."""
    order = np.argsort(positions, kind="stable")
    same = positions[order]
    starts = np.flatnonzero(np.concatenate([[True], same[1:] != same[:-1]])) if len(same) else same
    lengths = np.diff(np.append(starts, len(same)))
    found = np.empty_like(positions)
    found[order] = np.arange(len(same)) - np.repeat(starts, lengths)
    return found
