"""kd's own training loop, one batch at a time: everything that `kd run` does in a step, except the loader."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.images import write_images
from benchmarks.steps.workload import LR, MOMENTUM, TEMPERATURE, WEIGHT_DECAY, Workload
from kdcore.data.batches import RawBatch, TrainData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rounds import Step
    from kdcore.run.loop import Training


class Held(TrainData):
    """Batches that lie in memory, instead of the loader's."""

    labels = None
    labelled = True

    def __init__(self, workload: Workload) -> None:
        self.batch_size = workload.batch
        self.batches_per_epoch = workload.batches
        self.size = workload.batch * workload.batches
        positions = torch.arange(self.size).view(-1, workload.batch)
        self._batches = [
            RawBatch(images, target, index)
            for (images, target), index in zip(workload.images(), positions.unbind(), strict=True)
        ]

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[RawBatch]:
        """The same batches in each."""
        yield from self._batches[skip:]


@dataclass
class KdRun:
    """A run that stands before its first step.

    Attributes:
        training: the engine's loop.
        folder: its directory; to be cleaned up.
    """

    training: Training
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def begin(cls, workload: Workload, **changes: Any) -> KdRun:
        """As `kd run` would, from a spec; `changes` are whole sections, or keys of them as `train__precision`."""
        from kdcore.plugins import get_plugins
        from kdcore.run.context import RunContext
        from kdcore.run.display import PlainDisplay
        from kdcore.run.session import Session
        from kdcore.run.signals import StopRequest
        from kdcore.spec.load import load_spec

        folder = tempfile.TemporaryDirectory()
        # what is trained on are the workload's own
        write_images(
            Path(folder.name) / "data",
            max(workload.batch * workload.batches, workload.classes),
            workload.classes,
        )
        file = Path(folder.name) / "spec.json"
        file.write_text(json.dumps(spec_of(workload, changes)))
        plugins = get_plugins()
        session = Session(
            RunContext(
                loaded=load_spec(file, plugins=plugins, output=Path(folder.name)),
                plugins=plugins,
                display=PlainDisplay(io.StringIO()),
                stop=StopRequest(),
            )
        )
        training, _ = session.begin()
        training.train_data = Held(workload)
        return cls(training, folder)

    def step(self) -> Step:
        """One batch of the loop, epoch after epoch, without what comes at an epoch's end."""
        batches = self._batches()
        return lambda: next(batches)

    def _batches(self) -> Iterator[None]:
        while True:
            self.training.state.batch = 0
            yield from self.training.batches()

    def fill_cache(self) -> None:
        """One epoch: from now on the teacher is read, not asked."""
        for _ in self.training.batches():
            pass


def spec_of(workload: Workload, changes: dict[str, Any]) -> dict[str, Any]:
    """A whole spec for the workload."""
    spec: dict[str, Any] = {
        "name": "run",
        "data": {
            "dataset": "data",
            "image_size": workload.pixels,
            "workers": 0,
        },
        "teacher": {"model": workload.teacher, **workload.options},
        "student": {"model": workload.student, **workload.options},
        "distiller": {"name": "kd", "temperature": TEMPERATURE},
        "train": {"epochs": 1000, "batch_size": workload.batch},
        "optimizer": {
            "name": "sgd",
            "lr": LR,
            "momentum": MOMENTUM,
            "weight_decay": WEIGHT_DECAY,
            "filter_bias_and_bn": False,
        },
    }
    for place, value in changes.items():
        section, _, key = place.partition("__")
        if not key:
            spec[section] = value
        else:
            spec.setdefault(section, {})[key] = value
    return spec
