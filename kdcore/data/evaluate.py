"""The evaluation data: every sample once over all processes, always in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from kdcore.data.batches import EvalData
from kdcore.data.loader import make_loader, passed, worker_count
from kdcore.data.memory import reached, remember
from kdcore.data.normalise import Arrival
from kdcore.data.samples import KeyedSamples
from kdcore.data.special_targets import without_labels
from kdcore.data.stream import StreamEvalData
from kdcore.data.subset import choose_samples
from kdcore.data.transforms import eval_transform
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.utils.data import DataLoader

    from kdcore.data.hf_stream import HfStream
    from kdcore.data.inputs import InputConfig
    from kdcore.data.source import Source
    from kdcore.data.timm_source import StreamSource
    from kdcore.spec.models import DataSpec


class IndexedEvalData(EvalData):
    """Evaluation data whose samples have an index; see `build_eval_data`."""

    def __init__(
        self,
        size: int,
        total: int,
        labelled: bool,
        samples: KeyedSamples,
        loader: DataLoader[object],
        arrival: Arrival,
        mine: range,
    ) -> None:
        self._mine = mine
        self.size: int = size
        self.total: int = total
        self.labelled = labelled
        self._samples = samples
        self._loader = loader
        self._arrival = arrival

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, target, _, *more in passed(self._loader):
            if more and len(more[0]):
                self.broken |= frozenset(more[0].tolist())
            yield self._arrival(images), self._samples.source.targets(target)

    @property
    def kept_bytes(self) -> int:
        """See `EvalData`."""
        return self._samples.kept_bytes

    def name(self, position: int) -> str:
        """The name of a sample in messages."""
        return self._samples.name(position)

    def positions(self) -> Tensor:
        """See `EvalData`."""
        return torch.tensor([self._samples.source_index(position) for position in self._mine])


class WithoutLabels(EvalData):
    """Evaluation data whose labels are ignored: a run without labels cannot measure accuracy."""

    labelled = False

    def __init__(self, data: EvalData) -> None:
        self.size, self.total = data.size, data.total
        self._data = data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, target in self._data:
            yield images, without_labels(target)
            self.broken = self._data.broken

    @property
    def kept_bytes(self) -> int:
        """See `EvalData`."""
        return self._data.kept_bytes

    def name(self, position: int) -> str:
        """The name of a sample in messages."""
        return self._data.name(position)

    def positions(self) -> Tensor | None:
        """See `EvalData`."""
        return self._data.positions()


def eval_batch_size(batch_size: int) -> int:
    """The batch size for evaluation: more images fit than in training, and small batches would waste time."""
    return max(batch_size, min(4 * batch_size, 256))


def build_eval_data(
    source: Source,
    data: DataSpec,
    input: InputConfig,
    *,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    num_classes: int | None = None,
    device: torch.device | str = "cpu",
) -> EvalData:
    """The evaluation data of one process: a contiguous share of the split, in batches of batch_size / world.

    Labels are checked if `num_classes` is given. The draw of `data.eval_samples` does not depend on the run's seed, so
    that runs with different seeds are measured on the same images. The images arrive on the device.


    Raises:
        UserError: there are no images, or fewer than `data.eval_samples`.
    """
    positions = choose_samples(source, data.eval_samples, 0, "data.eval_samples")
    steps = eval_transform(data, input)
    arrival = Arrival(device, steps.normalise)
    part = max(1, batch_size // world)
    if source.stream:
        stream: StreamSource | HfStream = source  # type: ignore[assignment]  # the only ones there are
        return StreamEvalData(stream, steps, part, world, arrival)
    if len(source) == 0:
        raise UserError(Problem("data.eval_split", "there are no images to evaluate on"))
    broken: Literal["mark", "fail"] = "mark" if data.skip_broken else "fail"
    numbers = None if num_classes is None else source.label_numbers(num_classes)
    samples = KeyedSamples(source, positions, steps, seed=0, num_classes=numbers, broken=broken)
    total = len(samples)
    first, last = rank * total // world, (rank + 1) * total // world
    # always epoch 0: a dataset that draws at random gives the same images in each evaluation
    keys = [
        [(0, position) for position in range(start, min(start + part, last))]
        for start in range(first, last, part)
    ]
    if torch.device(device).type != "meta":  # a check reads no images
        samples.memory = remember(samples, data.in_memory, world)
    workers = worker_count(data.workers, samples, world, arrival.device.type)
    samples.memory = reached(samples.memory, workers)
    loader = make_loader(
        samples, workers=workers, device_type=arrival.device.type, batch_sampler=keys, persistent_workers=True
    )
    return IndexedEvalData(last - first, total, source.labelled, samples, loader, arrival, range(first, last))
