"""Every sample of a stream in shards once, for what is computed for each of them: a teacher cache."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from torch.utils.data import IterableDataset, default_collate, get_worker_info

from kdcore.data.keyed_randomness import kept_generators
from kdcore.data.lanes import Sample, SampleMaker, sample_key
from kdcore.data.samples import Columns, SampleFailure
from kdcore.data.sending import ByValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor


class StreamPass(ByValue, IterableDataset[Columns | SampleFailure]):
    """Batches of the samples that are not there yet; those that are there are read, and not decoded.

    A batch lies within a shard: the number of loader processes changes only the order of the batches.

    Args:
        make: makes the samples.
        augmentation: of all samples.
        there: which keys are there `[N]`; later ones are not.
        size: most samples of a batch.
        rank: of this process of several that share the work.
        world: their number.
    """

    def __init__(
        self,
        make: SampleMaker,
        augmentation: int,
        there: npt.NDArray[np.bool_],
        size: int,
        rank: int,
        world: int,
    ) -> None:
        self._make, self._augmentation, self._there = make, augmentation, there
        self._size, self._rank, self._world = size, rank, world

    def __iter__(self) -> Iterator[Columns | SampleFailure]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        shards = self._make.stream.num_shards
        shared = shards < self._world  # then each process takes every world-th sample of all shards
        own = range(shards) if shared else range(self._rank, shards, self._world)
        try:
            for shard in own[worker::workers]:
                samples = self._lacking(shard, self._rank if shared else 0, self._world if shared else 1)
                while batch := list(islice(samples, self._size)):
                    with kept_generators():
                        made = [self._make(self._augmentation, one.key // shards, one) for one in batch]
                    yield list(default_collate(made))
        except Exception as error:
            yield self._make.failure(error)

    def _lacking(self, shard: int, start: int, step: int) -> Iterator[Sample]:
        stream = self._make.stream
        for place, content in enumerate(stream.read(shard)):
            key = sample_key(stream.num_shards, shard, place)
            if place % step == start and not (key < len(self._there) and self._there[key]):
                yield Sample(key, 0, content)


def first_samples(make: SampleMaker, most: int) -> Iterator[Tensor]:
    """The first sample of each of at most `most` evenly spaced shards: the image before normalising.

    It is augmented as in the first epoch.

    Raises:
        RunFailed: it cannot be read.
    """
    stream = make.stream
    for shard in sorted({number * stream.num_shards // most for number in range(most)}):
        try:
            for content in islice(stream.read(shard), 1):  # a shard may be empty
                key = sample_key(stream.num_shards, shard, 0)
                with kept_generators():
                    image, _, _ = make(0, 0, Sample(key, 0, content))
                yield image
        except Exception as error:
            raise make.failure(error).error() from error
