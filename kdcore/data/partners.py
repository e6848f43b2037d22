"""For each sample another one of its class, drawn again in each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kdcore.data.keyed_randomness import PARTNER, mix64

if TYPE_CHECKING:
    from torch import Tensor


class Partners:
    """The partner of a sample: a function of (seed, epoch, position). Every other sample of its class is as likely.

    A sample that is alone in its class, or has no label, is its own partner.

    Args:
        labels: the class index of every training sample `[N]`, -1 without one.
        seed: the seed of the run.
    """

    def __init__(self, labels: Tensor, seed: int) -> None:
        alone = -1 - np.arange(len(labels), dtype=np.int64)  # a class of its own
        classes = np.where(labels.numpy() < 0, alone, labels.numpy())
        self._order = np.argsort(classes, kind="stable")  # positions by class
        self._place = np.empty(len(classes), np.int64)  # of each position in that order
        self._place[self._order] = np.arange(len(classes))
        ordered = classes[self._order]
        self._first = np.searchsorted(ordered, classes, "left")  # the place at which its class begins
        self._count = np.searchsorted(ordered, classes, "right") - self._first
        self._key = mix64(PARTNER, seed)

    def __call__(self, epoch: int, position: int) -> int:
        """The partner's position in the training set."""
        others = int(self._count[position]) - 1
        if others == 0:
            return position
        first = int(self._first[position])
        drawn = first + mix64(epoch, position, state=self._key) % others
        return int(self._order[drawn + (drawn >= int(self._place[position]))])
