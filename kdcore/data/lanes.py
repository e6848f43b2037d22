"""A stream of shards in lanes: what a batch holds depends on its number, not on the loader process that makes it.

Each process of a run has its own shards, divided into a few lanes, and batch b comes from lane b modulo their number.
Loader processes share the lanes. In a lane the shards follow one another in random order, through a buffer that mixes
samples which are not decoded yet. So a resumed run reads, and does not decode, what is before its place.

A sample's key says which shard it is in, and where: it is the same in every epoch and with any number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from kdcore.data.keyed_randomness import ORDER, kept_generators, keyed_numbers, mix64, seed_sample
from kdcore.data.sampler import REPEAT
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


class Sample(NamedTuple):
    """A sample that is not decoded yet.

    Attributes:
        key: `sample_key` of its shard and place.
        times_before: how often the epoch had it before.
        content: what the stream gave.
    """

    key: int
    times_before: int
    content: Any


def sample_key(shards: int, shard: int, place: int) -> int:
    """The key of the sample at a place of one of the shards, from 0; shards of the same size leave few keys out."""
    return place * shards + shard


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

    def samples(self, stream: ShardStream, lane: int, *keys: int) -> Iterator[Sample]:
        """The samples of a lane, without end, mixed by its buffer."""
        size = max(1, MIXED // self.count)
        waiting: list[Sample] = []
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

    def _ordered(self, stream: ShardStream, lane: int, *keys: int) -> Iterator[Sample | None]:
        """Pass after pass over the lane's shards, None after each."""
        shared = self.shards < self.world  # then each process takes every world-th sample of all shards
        for number in count():
            order = np.argsort(keyed_numbers(self.shards, *keys, number), kind="stable")
            own = order if shared else order[self.rank :: self.world][lane :: self.count]
            some = False
            for shard in own.tolist():
                for place, content in enumerate(stream.read(shard)):
                    if not shared or place % self.world == self.rank:
                        some = True
                        yield Sample(sample_key(self.shards, shard, place), number, content)
            if not some:
                raise ValueError("the stream gave no samples")
            yield None


@dataclass(frozen=True)
class SampleMaker:
    """Decodes and augments the samples of a stream; the augmentation is a function of seed, epoch and the sample.

    Attributes:
        stream: the samples.
        steps: the image transforms before normalising.
        views: augmented views of each sample.
        num_classes: K, to check labels; None: not checked.
        labels_read: a sample without a label is refused.
        seed: the seed of the run.
    """

    stream: ShardStream
    steps: Steps
    views: int
    num_classes: int | None
    labels_read: bool
    seed: int

    def __call__(self, epoch: int, number: int, sample: Sample) -> tuple[Any, int, int]:
        """Its image, class index and key; `epoch` is that of its augmentation, `number` is for messages."""
        image, label = self.stream.decoded(sample.content, number)
        target = UNLABELLED if label is None else int(label)
        check_label(f"sample {number} of {self.stream.title}", target, self.num_classes, self.labels_read)
        keys = (self.seed, epoch, sample.key)
        seed_sample(*keys, 0, draws=self.steps.draws)
        return varied(self.steps.fixed(image), self.steps, self.views, *keys), target, sample.key

    def failure(self, error: Exception) -> SampleFailure:
        """An error as a value."""
        if isinstance(error, KdError):
            return SampleFailure(str(error), isinstance(error, Refused))
        return SampleFailure(f"{self.stream.title}: {unexpected(error)}")


class LaneBatches(ByValue, IterableDataset[Columns | SampleFailure]):
    """The batches of an epoch from number `first` on, made by the loader process that has their lane.

    Args:
        make: makes the samples.
        lanes: of this process of the run.
        part: samples of a batch in this process.
        epoch: the epoch.
        augmentations: the number of augmentations of a sample: epoch e uses number e modulo this, also if it has the
            sample again. None: each time another one.
        first: the first batch.
        last: the number of batches of the epoch.
    """

    def __init__(
        self,
        make: SampleMaker,
        lanes: Lanes,
        part: int,
        epoch: int,
        augmentations: int | None,
        first: int,
        last: int,
    ) -> None:
        self._make, self._lanes, self._part, self._epoch = make, lanes, part, epoch
        self._augmentations, self._first, self._last = augmentations, first, last

    def __iter__(self) -> Iterator[Columns | SampleFailure]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        own: dict[int, Iterator[Sample]] = {}
        for batch in range(self._first + worker, self._last, workers):
            try:
                lane = batch % self._lanes.count
                if lane not in own:
                    own[lane] = self._from(lane, batch)
                samples = [next(own[lane]) for _ in range(self._part)]
                with kept_generators():
                    made = [
                        self._make(self._augmentation(one), batch * self._part + place, one)
                        for place, one in enumerate(samples)
                    ]
                yield list(default_collate(made))
            except Exception as error:
                yield self._make.failure(error)
                return

    def _from(self, lane: int, batch: int) -> Iterator[Sample]:
        """The samples of a lane from a batch on; those before it are read only."""
        make = self._make
        samples = self._lanes.samples(make.stream, lane, ORDER, make.seed, self._epoch)
        for _ in range(batch // self._lanes.count * self._part):
            next(samples)
        return samples

    def _augmentation(self, sample: Sample) -> int:
        if self._augmentations is not None:
            return self._epoch % self._augmentations
        return self._epoch + REPEAT * sample.times_before


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
