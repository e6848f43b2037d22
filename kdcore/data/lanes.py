"""A stream of shards in lanes: what a batch holds depends on its number, not on the loader process that makes it.

Each process of a run has its own shards, divided into a few lanes, and batch b comes from lane b modulo their number.
Loader processes share the lanes. In a lane the shards follow one another in random order, through a buffer that mixes
samples which are not decoded yet. So a resumed run reads, and does not decode, what is before its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from kdcore.data.keyed_randomness import ORDER, kept_generators, keyed_numbers, mix64, seed_sample
from kdcore.data.samples import Columns, SampleFailure, unexpected, varied
from kdcore.data.sending import ByValue
from kdcore.data.source import Refused
from kdcore.data.special_targets import UNLABELLED
from kdcore.errors import KdError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kdcore.data.pixels import Decoded
    from kdcore.data.steps import Steps

MOST_LANES: Final = 8
MIXED: Final = 4096  # samples that the buffers of a process hold together


class ShardStream(Protocol):
    """A dataset in shards that can only be read one after another."""

    title: str
    num_shards: int

    def read(self, shard: int) -> Iterable[Any]:
        """The samples of a shard, not decoded."""

    def decoded(self, sample: Any, number: int) -> tuple[Decoded, int | None]:
        """Its image and class index; `number` is for messages.

        Raises:
            KdError: it cannot be decoded.
        """


@dataclass(frozen=True)
class Lanes:
    """The shards of one process of a run.

    Attributes:
        shards: of the whole stream.
        rank: of this process.
        world: the number of processes.
    """

    shards: int
    rank: int = 0
    world: int = 1

    @property
    def count(self) -> int:
        """The number of lanes: a power of two, and each has a shard."""
        own, lanes = self.shards // self.world, 1
        while 2 * lanes <= min(own, MOST_LANES):
            lanes *= 2
        return lanes

    def workers(self, wanted: int) -> int:
        """The largest number of loader processes, up to `wanted`, that the lanes can be divided among; 0 stays 0."""
        return next((number for number in range(wanted, 0, -1) if self.count % number == 0), 0)

    def samples(self, stream: ShardStream, lane: int, *keys: int) -> Iterator[Any]:
        """The samples of a lane, without end, mixed by its buffer."""
        size = max(1, MIXED // self.count)
        waiting: list[Any] = []
        numbers = _numbers(*keys, lane)
        for sample in self._ordered(stream, lane, *keys):
            if len(waiting) < size and sample is not None:
                waiting.append(sample)
                continue
            if sample is None:  # a pass ends: what waits comes before the next one
                while waiting:
                    yield waiting.pop(int(next(numbers) % len(waiting)))
                continue
            chosen = int(next(numbers) % size)
            yield waiting[chosen]
            waiting[chosen] = sample

    def _ordered(self, stream: ShardStream, lane: int, *keys: int) -> Iterator[Any]:
        """Pass after pass over the lane's shards, None after each."""
        shared = self.shards < self.world  # then each process takes every world-th sample of all shards
        for number in count():
            order = np.argsort(keyed_numbers(self.shards, *keys, number), kind="stable")
            own = order if shared else order[self.rank :: self.world][lane :: self.count]
            some = False
            for shard in own.tolist():
                for place, sample in enumerate(stream.read(shard)):
                    if not shared or place % self.world == self.rank:
                        some = True
                        yield sample
            if not some:
                raise ValueError("the stream gave no samples")
            yield None


class LaneBatches(ByValue, IterableDataset[Columns | SampleFailure]):
    """The batches of an epoch from number `first` on, made by the loader process that has their lane.

    Args:
        stream: the samples.
        lanes: of this process of the run.
        part: samples of a batch in this process.
        steps: the image transforms before normalising.
        views: augmented views of each sample.
        num_classes: K, to check labels; None: not checked.
        labels_read: a sample without a label is refused.
        keys: seed and epoch.
        first: the first batch.
        last: the number of batches of the epoch.
    """

    def __init__(
        self,
        stream: ShardStream,
        lanes: Lanes,
        part: int,
        steps: Steps,
        views: int,
        num_classes: int | None,
        labels_read: bool,
        keys: tuple[int, int],
        first: int,
        last: int,
    ) -> None:
        self._stream, self._lanes, self._part, self._steps = stream, lanes, part, steps
        self._views, self._num_classes, self._labels_read = views, num_classes, labels_read
        self._keys, self._first, self._last = keys, first, last

    def __iter__(self) -> Iterator[Columns | SampleFailure]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        own: dict[int, Iterator[Any]] = {}
        for batch in range(self._first + worker, self._last, workers):
            try:
                lane = batch % self._lanes.count
                if lane not in own:
                    own[lane] = self._from(lane, batch)
                samples = [next(own[lane]) for _ in range(self._part)]
                with kept_generators():
                    made = [self._made(batch * self._part + place, one) for place, one in enumerate(samples)]
                yield list(default_collate(made))
            except KdError as error:
                yield SampleFailure(str(error), isinstance(error, Refused))
                return
            except Exception as error:
                yield SampleFailure(f"{self._stream.title}: {unexpected(error)}")
                return

    def _from(self, lane: int, batch: int) -> Iterator[Any]:
        """The samples of a lane from a batch on; those before it are read only."""
        samples = self._lanes.samples(self._stream, lane, ORDER, *self._keys)
        for _ in range(batch // self._lanes.count * self._part):
            next(samples)
        return samples

    def _made(self, number: int, sample: Any) -> tuple[Any, int]:
        keys = (*self._keys, self._lanes.rank, number)
        image, label = self._stream.decoded(sample, number)
        target = UNLABELLED if label is None else int(label)
        check_label(f"sample {number} of {self._stream.title}", target, self._num_classes, self._labels_read)
        seed_sample(*keys, 0, draws=self._steps.draws)
        return varied(self._steps.fixed(image), self._steps, self._views, *keys), target


def check_label(name: str, target: int, num_classes: int | None, labels_read: bool) -> None:
    """Raises RunFailed if a sample's class does not exist, or if it has none and labels are read."""
    if num_classes is not None and target >= num_classes:
        raise RunFailed(f"{name} has class {target}, but there are only {num_classes} classes")
    if target < 0 and labels_read:
        raise Refused(
            f"{name} has no label. Of a stream all samples must have one, or "
            "nothing may read labels: task.weight 0, and a distiller that needs none"
        )


def _numbers(*keys: int) -> Iterator[int]:
    """Random numbers without end."""
    for number in count():
        yield from keyed_numbers(1024, mix64(*keys, -1), number).tolist()
