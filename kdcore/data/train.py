"""The training data: whole batches for each epoch, determined by seed and epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from kdcore.data.batches import RawBatch, TrainData, check_skip
from kdcore.data.hf_stream import HfStream
from kdcore.data.loader import default_workers, make_loader, passed, worker_count
from kdcore.data.memory import reached, remember
from kdcore.data.normalise import Arrival
from kdcore.data.partners import Partners
from kdcore.data.sampler import EpochBatches, whole_batches
from kdcore.data.samples import KeyedSamples
from kdcore.data.sampling import choose_draw, refuse_stream
from kdcore.data.stream import LaneTrainData, StreamTrainData
from kdcore.data.timm_source import StreamSource
from kdcore.data.training_set import training_set
from kdcore.data.views import view_transform
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor
    from torch.utils.data import DataLoader

    from kdcore.data.inputs import InputConfig
    from kdcore.data.sampler import Key
    from kdcore.data.samples import Columns
    from kdcore.data.source import Source
    from kdcore.data.training_set import TrainingSet
    from kdcore.spec.models import AugmentSpec, DataSpec


class IndexedTrainData(TrainData):
    """Training data whose samples have an index; see `build_train_data`."""

    def __init__(
        self,
        samples: KeyedSamples,
        sampler: EpochBatches,
        make_loader: Callable[[Iterable[list[Key]]], DataLoader[object]],
        arrival: Arrival,
    ) -> None:
        self.samples = samples
        self.size = len(samples)
        self.batch_size = sampler.whole
        self.batches_per_epoch = sampler.batches
        self._sampler = sampler
        self._make_loader = make_loader
        self._loader = make_loader(sampler)
        self._arrival = arrival
        self._ahead: tuple[tuple[int, int], Iterator[Columns]] | None = None  # (epoch, skip), and its batches

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch, starting at batch `skip`."""
        check_skip(epoch, skip, self.batches_per_epoch)
        if skip == self.batches_per_epoch:
            return
        ahead, self._ahead = self._ahead, None
        yield from self._batches(
            ahead[1] if ahead and ahead[0] == (epoch, skip) else self._begin(epoch, skip)
        )
        if (
            self._loader.num_workers
        ):  # the loader processes prepare the next epoch's first batches during the evaluation
            self._ahead = ((epoch + 1, 0), self._begin(epoch + 1, 0))

    def given(self, keys: list[list[Key]]) -> Iterator[RawBatch]:
        """The batches for these (epoch, position) keys, from a separate loader."""
        yield from self._batches(passed(self._make_loader(keys)))

    def _begin(self, epoch: int, skip: int) -> Iterator[Columns]:
        self._sampler.epoch, self._sampler.skip = epoch, skip
        return passed(self._loader)

    def _batches(self, columns: Iterator[Columns]) -> Iterator[RawBatch]:
        for images, target, index, *more in columns:
            partner = None if self.samples.partners is None else self._arrival(more.pop(0))
            broken = tuple(more[0].tolist()) if more else ()
            labels = self.samples.source.targets(target) if self.labelled else None
            yield RawBatch(self._arrival(images), labels, index, broken, partner)

    @property
    def kept_bytes(self) -> int:
        """See `TrainData`."""
        return self.samples.kept_bytes

    def name(self, position: int) -> str:
        """The name of a sample in messages."""
        return self.samples.name(position)


def build_train_data(
    source: Source,
    data: DataSpec,
    input: InputConfig,
    *,
    batch_size: int,
    seed: int,
    num_classes: int,
    rank: int = 0,
    world: int = 1,
    views: int | Sequence[AugmentSpec] = 1,
    partner: bool = False,
    augmentations: int | None = None,
    device: torch.device | str = "cpu",
    chosen: TrainingSet | None = None,
    labels_read: bool = False,
) -> TrainData:
    """The training data of one process.

    `batch_size` is the whole batch. The number of loader processes affects only the speed. With `augmentations` = A,
    epoch e uses the images of epoch e mod A again, in its own order. The images arrive on the device. `views` is the
    number of views of an image, or the augmentation of each. With `partner`, each sample comes with
    another one of its class. `chosen` is the result of `training_set`, if it is already known. `labels_read`: a sample
    of a stream must have a label.

    Raises:
        UserError: `train_samples`, `in_memory`, `batch_size`, `augment`, `sampling`, `labelled_fraction` or the labels
            do not fit.
    """
    chosen = chosen or training_set(source, data, seed=seed, num_classes=num_classes)
    recipes = (data.augment,) * views if isinstance(views, int) else tuple(views)
    steps, count = view_transform(data, input, recipes), len(recipes)
    arrival = Arrival(device, steps.normalise)
    if source.stream:
        _check_stream(data)
        given = (steps, batch_size, seed, count, num_classes, arrival, labels_read)
        if isinstance(source, HfStream):
            wanted = default_workers(world) if data.workers is None else data.workers
            return LaneTrainData(
                source, *given, rank=rank, world=world, workers=wanted, augmentations=augmentations
            )
        assert isinstance(source, StreamSource)
        return StreamTrainData(source, *given, rank=rank, world=world)
    broken: Literal["replace", "fail"] = "replace" if data.skip_broken else "fail"
    partners = Partners(_labels(chosen), seed) if partner else None
    numbers = source.label_numbers(num_classes)
    samples = KeyedSamples(source, chosen.positions, steps, seed, count, numbers, broken, partners)
    draw = choose_draw(chosen, data, whole_batches(len(samples), batch_size, world)[1])
    shards = source.shards if draw is None and chosen.positions is None else None
    sampler = EpochBatches(seed, len(samples), batch_size, rank, world, augmentations, draw, shards)
    if torch.device(device).type != "meta":  # a check reads no images
        samples.memory = remember(samples, data.in_memory, world)
    workers = worker_count(data.workers, samples, world, arrival.device.type)
    samples.memory = reached(samples.memory, workers)

    def loader(keys: Iterable[list[Key]]) -> DataLoader[object]:
        return make_loader(
            samples,
            workers=workers,
            device_type=arrival.device.type,
            batch_sampler=keys,
            persistent_workers=True,
        )

    built = IndexedTrainData(samples, sampler, loader, arrival)
    built.labels = chosen.labels
    built.labelled = source.labelled
    return built


def _check_stream(data: DataSpec) -> None:
    """Raises UserError if the section asks for something that a stream cannot do."""
    if data.skip_broken:
        message = "the reader of a stream decodes its images, so broken ones cannot be skipped"
        raise UserError(Problem("data.skip_broken", message, value=True))
    if data.in_memory:
        message = "the images of a stream cannot be kept in memory"
        raise UserError(Problem("data.in_memory", message, value=True))
    refuse_stream(data)


def _labels(chosen: TrainingSet) -> Tensor:
    if chosen.labels is None:
        message = (
            "the classes of the training images are not known before they are read, so none has a partner"
        )
        raise UserError(
            Problem("data.dataset", message, hint="use a folder per class, or a registered dataset")
        )
    return chosen.labels
