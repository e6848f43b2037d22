"""The student of a run: the last one, the best one or the averaged one, from its folder or from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kdcore.data.inputs import resolve_input
from kdcore.distill.splits import open_splits
from kdcore.errors import Problem, UserError
from kdcore.features import find_adapter
from kdcore.inspect.opened_model import OpenedModel
from kdcore.models import build_model, load_student
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.statefile import Damaged

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from kdcore.data.inputs import InputConfig
    from kdcore.plugins import Plugins
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.models import RunSpec

Which = Literal["last", "best", "ema"]
"""Which of a run's students: the one after the last epoch, the one of the best epoch, or the averaged one."""


@dataclass(frozen=True, kw_only=True)
class OpenedStudent(OpenedModel):
    """A run's student.

    Attributes:
        num_classes: K.
        classes: the names of the classes; None: not known.
    """

    num_classes: int
    classes: tuple[str, ...] | None

    def with_class_names(self, names: tuple[str, ...] | None) -> OpenedStudent:
        """The same student; it gets these names if its own are not known."""
        return replace(self, classes=self.classes or names)


def open_student(directory: RunDirectory, spec: RunSpec, which: Which, plugins: Plugins) -> OpenedStudent:
    """A run's student on the CPU. The data is opened only if the run is not finished.

    Raises:
        UserError: there is no such student, or it cannot be built.
    """
    folder = directory.path / ("student-ema" if which == "ema" else "student")
    if which == "ema" and spec.train.ema is None:
        raise UserError(
            Problem(str(directory.path), "this run has no averaged student: its train.ema is null")
        )
    finished = directory.finished and folder.is_dir()
    found = _from_folder(folder, plugins) if finished else _untrained(spec, plugins)
    if which == "best":
        found.model.load_state_dict(_best_weights(directory))
    elif not finished:
        found.model.load_state_dict(_newest_weights(directory, which))
    return OpenedStudent(
        name=spec.student.model,
        model=found.model.eval(),
        input=resolve_input(spec.data, found.input),
        adapter=find_adapter(found.model, spec.student.adapter, plugins, "student.adapter"),
        num_classes=found.num_classes,
        classes=found.classes,
    )


@dataclass(frozen=True, kw_only=True)
class _Network:
    model: nn.Module
    input: InputConfig
    num_classes: int
    classes: tuple[str, ...] | None


def _from_folder(folder: Path, plugins: Plugins) -> _Network:
    loaded = load_student(folder, plugins=plugins)
    config = loaded.config
    return _Network(
        model=loaded.model,
        input=loaded.input,
        num_classes=config.num_classes,
        classes=config.class_names,
    )


def _untrained(spec: RunSpec, plugins: Plugins) -> _Network:
    splits = open_splits(spec, plugins)
    built = build_model(
        spec.student,
        num_classes=splits.num_classes,
        in_chans=spec.data.channels,
        image_size=spec.data.image_size,
        plugins=plugins,
        where="student",
        load_weights=False,
    )
    return _Network(
        model=built.model, input=built.input, num_classes=splits.num_classes, classes=splits.classes
    )


def _newest_weights(directory: RunDirectory, which: Which) -> dict[str, Tensor]:
    state = Checkpoints(directory.checkpoints).peek()
    if state is None:
        raise UserError(Problem(str(directory.path), "this run is not finished and has no checkpoint yet"))
    if which == "ema":
        averaged: dict[str, Tensor] = state["ema"]
        return averaged
    prefix = "student."
    return {
        name.removeprefix(prefix): value
        for name, value in state["distillation"].items()
        if name.startswith(prefix)
    }


def _best_weights(directory: RunDirectory) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = Checkpoints(directory.checkpoints).load_best()["student"]
    except Damaged as error:
        raise UserError(Problem(str(directory.checkpoints), f"the best student: {error}")) from error
    return weights
