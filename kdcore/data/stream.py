"""Streams: datasets whose samples can only be read one after another (`hfids/`, `tfds/`).

The shards of a stream of Hugging Face are read in lanes. For `tfds/`, each process of the run reads the stream with
exactly one loader process: timm's reader gives each loader its own shards and shuffling, so with several loaders the
samples would depend on their number.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from kdcore.data.batches import EvalData, RawBatch, TrainData, check_skip
from kdcore.data.keyed_randomness import LOADER, ORDER, mix64, seed_sample
from kdcore.data.lanes import LaneBatches, Lanes, SampleMaker, check_label
from kdcore.data.loader import make_loader, passed
from kdcore.data.modes import UnknownRange
from kdcore.data.sampler import whole_batches
from kdcore.data.samples import Columns, SampleFailure, unexpected, varied
from kdcore.data.sending import ByValue
from kdcore.data.source import Refused
from kdcore.data.special_targets import UNLABELLED, without_labels
from kdcore.data.stream_pass import StreamPass
from kdcore.errors import KdError, Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from kdcore.data.hf_stream import HfStream
    from kdcore.data.normalise import Arrival
    from kdcore.data.steps import Steps
    from kdcore.data.timm_source import StreamSource

_READER_SEED = 0x7FFFFFFF  # the largest seed of tensorflow


class StreamTrainData(TrainData):
    """Training data from a stream; the stream's own shuffling orders it, with seeds from seed and epoch.

    The stream's length gives the number of whole batches; skipped batches are read, too.

    Raises:
        UserError: the stream does not report its length, or a batch cannot be divided among the processes.
    """

    stream = True
    labels = None

    def __init__(
        self,
        source: StreamSource | HfStream,
        steps: Steps,
        batch_size: int,
        seed: int,
        views: int,
        num_classes: int,
        arrival: Arrival,
        labels_read: bool = False,
        *,
        rank: int,
        world: int,
    ) -> None:
        if len(source) == 0:
            message = (
                f"{source.title} does not report its number of samples, so the end of an epoch is unknown"
            )
            hint = "set data.epoch_samples: the number of samples that an epoch takes from it"
            raise UserError(Problem("data.train_split", message, hint=hint))
        self.size = len(source)
        self.labelled = source.labelled
        self.batches_per_epoch, self.batch_size = whole_batches(self.size, batch_size, world)
        self._source, self._steps = source, steps
        self._seed, self._views, self._num_classes = seed, views, num_classes
        self._part, self._rank, self._arrival = self.batch_size // world, rank, arrival
        self._labels_read = labels_read

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch, starting at batch `skip`, without index."""
        check_skip(epoch, skip, self.batches_per_epoch)
        if skip == self.batches_per_epoch:
            return
        seed = mix64(ORDER, self._seed) & _READER_SEED
        reader: Any = self._source.open(training=True, seed=seed, batch_size=self._part)
        reader.set_epoch(epoch)
        keys = (self._seed, epoch, self._rank)
        stream = StreamBatches(
            reader,
            self._source.title,
            self._part,
            self._steps,
            self._views,
            self._num_classes if self.labelled else None,
            keys,
            cycle=True,
            labels_read=self._labels_read,
        )
        generator = torch.Generator().manual_seed(mix64(LOADER, *keys))
        loader = make_loader(
            stream, workers=1, device_type=self._arrival.device.type, batch_size=None, generator=generator
        )
        for images, target in islice(passed(loader), skip, self.batches_per_epoch):
            yield RawBatch(self._arrival(images), target if self.labelled else None, None)


class LaneTrainData(StreamTrainData):
    """Training data from the shards of a stream, read in lanes by any number of loader processes.

    Samples before a skipped batch are read, and not decoded. With `augmentations` = A, a sample has A variants, and
    epoch e uses number e mod A.

    Attributes:
        shards: the stream.
        make: makes its samples.
    """

    keyed = True

    def __init__(
        self,
        source: HfStream,
        *arguments: Any,
        rank: int,
        world: int,
        workers: int,
        augmentations: int | None = None,
    ) -> None:
        super().__init__(source, *arguments, rank=rank, world=world)
        self.shards, self._lanes = source, Lanes(source.num_shards, rank, world)
        self._workers, self._augmentations = self._lanes.workers(workers), augmentations
        classes = self._num_classes if self.labelled else None
        self.make = SampleMaker(source, self._steps, self._views, classes, self._labels_read, self._seed)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch, starting at batch `skip`, without index."""
        check_skip(epoch, skip, self.batches_per_epoch)
        if skip == self.batches_per_epoch:
            return
        batches = LaneBatches(
            self.make, self._lanes, self._part, epoch, self._augmentations, skip, self.batches_per_epoch
        )
        yield from self._arrived(batches)

    def lacking(
        self, augmentation: int, there: npt.NDArray[np.bool_], size: int, *, rank: int, world: int
    ) -> Iterator[RawBatch]:
        """Every sample of the stream whose key is not there yet, once, shard by shard; see `StreamPass`."""
        yield from self._arrived(StreamPass(self.make, augmentation, there, size, rank, world))

    def _arrived(self, batches: IterableDataset[Columns | SampleFailure]) -> Iterator[RawBatch]:
        loader = make_loader(
            batches, workers=self._workers, device_type=self._arrival.device.type, batch_size=None
        )
        for images, target, key in passed(loader):
            yield RawBatch(self._arrival(images), target if self.labelled else None, None, key=key)


class StreamEvalData(EvalData):
    """Evaluation data from a stream; its reader divides it among the processes."""

    def __init__(
        self, source: StreamSource | HfStream, steps: Steps, batch_size: int, world: int, arrival: Arrival
    ) -> None:
        self.total = len(source) or None
        self.size = self.total if world == 1 else None
        self.labelled = source.labelled
        self._source, self._steps = source, steps
        self._batch_size, self._arrival = batch_size, arrival

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        reader = self._source.open(training=False, seed=0, batch_size=self._batch_size)
        stream = StreamBatches(
            reader, self._source.title, self._batch_size, self._steps, 1, None, (0,), cycle=False
        )
        loader = make_loader(stream, workers=1, device_type=self._arrival.device.type, batch_size=None)
        for images, target in passed(loader):
            yield self._arrival(images), target if self.labelled else without_labels(target)


class StreamBatches(ByValue, IterableDataset[Columns | SampleFailure]):
    """Batches of (images, target) from an iterable of (PIL image, label), built in the loader process.

    The k-th sample's augmentation is a function of `keys` and k. With `cycle` the stream starts again at its
    end, and all batches are full. With `labels_read` a sample without a label is refused.
    """

    def __init__(
        self,
        reader: Any,
        title: str,
        batch_size: int,
        steps: Steps,
        views: int,
        num_classes: int | None,
        keys: tuple[int, ...],
        *,
        cycle: bool,
        labels_read: bool = False,
    ) -> None:
        self._reader, self._title, self._batch_size = reader, title, batch_size
        self._steps, self._views, self._num_classes = steps, views, num_classes
        self._keys, self._cycle, self._labels_read = keys, cycle, labels_read

    def __iter__(self) -> Iterator[Columns | SampleFailure]:
        waiting: list[tuple[Tensor, int]] = []
        number = 0
        try:
            for number, (image, label) in enumerate(self._samples()):
                seed_sample(*self._keys, number, 0)  # all generators: the reader may draw, too
                images = varied(self._steps.fixed(image), self._steps, self._views, *self._keys, number)
                if isinstance(label, list | tuple) or (getattr(label, "ndim", 0) or 0) > 0:
                    message = (
                        f"sample {number} of {self._title} has several labels, {label!r}. A stream has one class an "
                        "image; several labels come from a table, from 'hfds/...', or from a dataset of a plugin"
                    )
                    yield SampleFailure(message, refused=True)
                    return
                target = UNLABELLED if label is None else int(label)
                check_label(f"sample {number} of {self._title}", target, self._num_classes, self._labels_read)
                waiting.append((images, target))
                if len(waiting) == self._batch_size:
                    yield list(default_collate(waiting))
                    waiting = []
        except UnknownRange as error:
            yield SampleFailure(f"sample {number} of {self._title} cannot be used: {error}", refused=True)
            return
        except KdError as error:
            yield SampleFailure(str(error), isinstance(error, Refused))
            return
        except Exception as error:
            yield SampleFailure(f"{self._title}: {unexpected(error)}")
            return
        if waiting:
            yield list(default_collate(waiting))

    def _samples(self) -> Iterator[tuple[Any, Any]]:
        while True:
            some = False
            for sample in self._reader:
                some = True
                yield sample
            if not self._cycle:
                return
            if not some:
                raise ValueError("the stream gave no samples")
