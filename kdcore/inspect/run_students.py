"""A run's student on the CPU with what the run measured of it, and images for it: what exporters get."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.data import open_split
from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.subset import choose_samples
from kdcore.errors import Problem, UserError
from kdcore.inspect.images import evaluation_data, evaluation_images
from kdcore.inspect.open_run import read_spec
from kdcore.inspect.run_path import find_run
from kdcore.inspect.student_predictor import student_predictor
from kdcore.inspect.students import Which, open_student
from kdcore.plugins import get_plugins
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.directory import SPEC
from kdcore.rundir.summary import is_percent
from kdcore.spec.student_data import of_student
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from kdcore.data import EvalData, InputConfig
    from kdcore.inspect.image_predictor import ImagePredictor
    from kdcore.inspect.students import OpenedStudent
    from kdcore.plugins import Plugins
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import ModelSpec, RunSpec

_FEW: Final = 1024  # images for which loader processes would not pay


@dataclass(frozen=True, kw_only=True)
class RunStudent:
    """A run's student, in evaluation mode on the CPU.

    Attributes:
        run: the run directory.
        spec: the run's spec, where its data gives the channels that the student takes.
        weights: which of the run's weights it has: the last ones, their average, or those of the best epoch.
        epoch: after which epoch they were taken; None: not known, of a student from a user's own training loop.
        opened: the network, its input and its classes.
        scores: what the run measured with these weights, in percent, by name: `top1`, `macro_f1`, ...
        finished: whether the run is finished.
        plugins: where names of the spec are looked up.
    """

    run: RunDirectory
    spec: RunSpec
    weights: Which
    epoch: int | None
    opened: OpenedStudent
    scores: Mapping[str, float]
    finished: bool
    plugins: Plugins

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.opened.model

    @property
    def input(self) -> InputConfig:
        """Size and normalisation of its images."""
        return self.opened.input

    @property
    def num_classes(self) -> int:
        """K; 0 for an encoder."""
        return self.opened.num_classes

    @property
    def output(self) -> tuple[str, int]:
        """What it gives, and of which size: `logits` of K classes, or the `embedding` of an encoder."""
        if not self.opened.is_encoder:
            return "logits", self.num_classes
        with torch.no_grad():
            return "embedding", int(self.model(self.example(1)).shape[1])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes; None: not known."""
        return self.opened.classes

    @property
    def name(self) -> str:
        """The model's name in the spec."""
        return self.spec.student.model

    @property
    def in_chans(self) -> int:
        """Channels of its images."""
        return self.spec.data.channels

    @property
    def network(self) -> ModelSpec:
        """The model as a spec would name it: the student's section of the spec, or with the head of a distiller."""
        return self.opened.network

    @property
    def parameters(self) -> int:
        """The number of its parameters."""
        return self.opened.parameters

    def example(self, batch: int) -> torch.Tensor:
        """Noise in the shape of its images, `[B, C, H, W]`; always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_chans, *self.input.image_size, generator=generator)

    def predictor(self, device: torch.device | str = "cpu") -> ImagePredictor:
        """The student for images of any place, prepared as the run's evaluation images were."""
        return student_predictor(self.opened, self.spec, torch.device(device))

    def images(self, split: str, samples: int | None) -> EvalData:
        """Images of a split in batches, prepared for it: `samples`, as balanced as labels allow, or all.

        Of the split that the run was evaluated on, they are among those of the evaluation (`data.eval_samples`); of
        another one that it was trained on, among those of the training (`data.train_samples`). A stream always gives
        all images.

        Raises:
            UserError: the data is not available.
        """
        data = self.spec.data
        if split != self.split:
            data = data.model_copy(update={"eval_samples": None})
        if samples is not None and samples <= _FEW:
            data = data.model_copy(update={"workers": 0})
        labels = self.spec.task.kind != NO_LABELS
        source = open_split(data, split, plugins=self.plugins, where="data.eval_split", labels=labels)
        if split == self.train_split != self.split and not source.stream:
            positions = choose_samples(source, data.train_samples, self.spec.seed)
            source = source if positions is None else ChosenSource(source, positions)
        chosen = at_most(evaluation_images(source, data), samples)
        spec = self.spec.model_copy(update={"data": data})
        return evaluation_data(chosen, spec, self.input, self.num_classes, torch.device("cpu"))

    @property
    def train_split(self) -> str:
        """The split that the run was trained on, as it is called on disk."""
        return self._split("train_split") or self.spec.data.train_split

    @property
    def eval_split(self) -> str | None:
        """The split that the run was evaluated on, as it is called on disk; None if it was not evaluated."""
        given = self.spec.data.eval_split
        return given if given is None else self._split("eval_split") or given

    @property
    def split(self) -> str:
        """The split on which its accuracy was measured."""
        return self.eval_split or self.train_split

    def _split(self, key: str) -> str | None:
        found = ((self.run.summary() or {}).get("data") or {}).get(key)
        return found if isinstance(found, str) else None


def open_run_student(
    run: str | Path, weights: Which = "last", *, plugins: Plugins | None = None
) -> RunStudent:
    """The student of the run in a run directory.

    Raises:
        UserError: there is no run, it does not have these weights, or the model can no longer be built.
    """
    plugins = plugins or get_plugins()
    directory = find_run(run)
    finished = directory.finished
    if weights != "best" and not finished:
        raise UserError(
            Problem(
                str(directory.path),
                "this run is not finished",
                hint=f"'kd run {quote(str(directory.path / SPEC))}' continues it; "
                "--best uses its best weights so far",
            )
        )
    spec = of_student(read_spec(directory))
    opened = open_student(directory, spec, weights, plugins)
    if weights == "last" and spec.train.keep == "best":
        weights = "best"  # the student of a finished run is the one of its best epoch
    about = _about(directory, weights, own=finished and weights == spec.train.keep)
    return RunStudent(
        run=directory,
        spec=spec,
        weights=weights,
        opened=opened,
        epoch=about["epoch"],
        scores={name: about[name] for name in about if is_percent(name) and about[name] is not None},
        finished=finished,
        plugins=plugins,
    )


def _about(directory: RunDirectory, weights: Which, *, own: bool) -> dict[str, Any]:
    """The epoch, and what was measured after it; `own`: of the student that the run itself kept."""
    records = directory.metrics()
    if own:
        student: dict[str, Any] = (directory.summary() or {}).get("student") or {}
        return {"epoch": len(records) or None, **student}
    if weights == "best":
        epoch = Checkpoints(directory.checkpoints).about_best()["epoch"]
        records = [record for record in records if record["epoch"] == epoch]
    last: dict[str, Any] = records[-1] if records else {"epoch": 0}
    return {**last.get("ema" if weights == "ema" else "eval", {}), "epoch": last["epoch"]}
