"""The student of a run: the last one, the best one or the averaged one, from its folder or from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from kdcore.data.inputs import resolve_input, student_input
from kdcore.distill.model_images import ModelImages
from kdcore.distill.splits import open_splits
from kdcore.distill.with_heads import NAME as WITH_HEADS
from kdcore.errors import Problem, UserError
from kdcore.features import find_adapter
from kdcore.inspect.opened_model import OpenedModel
from kdcore.inspect.several_labels import HALF
from kdcore.models import build_model, load_student
from kdcore.models.student_config import TRANSFORMED
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.statefile import Damaged
from kdcore.spec.channels import count_of
from kdcore.spec.models import ModelSpec

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
        images: size and normalisation of the images that the data gives; `transform` turns them into the student's.
        num_classes: K; 0 for an encoder.
        classes: the names of the classes; None: not known.
        network: the model as a spec would name it: the student's section of the run's spec, or the student with the
            head of a distiller or with its transforms.
        thresholds: with several labels an image, the probability above which an image gets each label `[K]`: those that
            the run chose on its evaluation images, or 0.5; None: an image has one class.
    """

    images: InputConfig
    num_classes: int
    classes: tuple[str, ...] | None
    network: ModelSpec
    thresholds: tuple[float, ...] | None = None

    @property
    def is_encoder(self) -> bool:
        """Whether it has no classifier: it gives an embedding, and no predictions."""
        return self.num_classes == 0

    def with_class_names(self, names: tuple[str, ...] | None) -> OpenedStudent:
        """The same student; it gets these names if its own are not known."""
        return self if self.is_encoder else replace(self, classes=self.classes or names)


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
    if which == "best" and directory.own_loop:
        message = "this student was trained outside of kd: only this one was saved, and no best epoch"
        raise UserError(Problem(str(directory.path), message))
    if directory.finished and folder.is_dir():
        found = _from_folder(folder, plugins)
        if which == "best":
            found.model.load_state_dict(_best(directory)["student"])
    else:
        state = _best(directory) if which == "best" else _newest(directory)
        found = _untrained(spec, state.get("shipped_as"), plugins)
        found.model.load_state_dict(state["student"] if which == "best" else _weights(state, which))
    images, taken = resolve_input(spec.data, found.input), student_input(spec, found.input)
    view = ModelImages(images, taken, spec.student.channels)
    return OpenedStudent(
        name=spec.student.model,
        model=found.model.eval(),
        input=taken,
        images=images,
        transform=None if view.identity else view,
        adapter=find_adapter(found.model, found.adapter(spec), plugins, "student.adapter"),
        num_classes=found.num_classes,
        classes=found.classes,
        network=found.named or spec.student,
        thresholds=_thresholds(directory, spec, which, found.num_classes),
    )


def _thresholds(
    directory: RunDirectory, spec: RunSpec, which: Which, num_classes: int
) -> tuple[float, ...] | None:
    if spec.task.kind != "labels":
        return None
    about: dict[str, Any] = {}
    if directory.finished and (
        which == "last" or which == spec.train.keep
    ):  # they are those of the kept student
        about = (directory.summary() or {}).get("student") or {}
    return tuple(about.get("thresholds") or (HALF,) * num_classes)


@dataclass(frozen=True, kw_only=True)
class _Network:
    model: nn.Module
    input: InputConfig
    num_classes: int
    classes: tuple[str, ...] | None
    named: ModelSpec | None  # with the head of a distiller or with transforms; otherwise the spec names it

    def adapter(self, spec: RunSpec) -> str | None:
        """The adapter that the spec names; with the head of a distiller it is another model."""
        headed = self.named is not None and self.named.model == WITH_HEADS
        return None if headed else spec.student.adapter


def _from_folder(folder: Path, plugins: Plugins) -> _Network:
    loaded = load_student(folder, plugins=plugins)
    config = loaded.config
    return _Network(
        model=loaded.model,
        input=loaded.input,
        num_classes=config.num_classes,
        classes=config.class_names,
        named=config.spec if config.spec.model in (WITH_HEADS, TRANSFORMED) else None,
    )


def _untrained(spec: RunSpec, shipped_as: dict[str, Any] | None, plugins: Plugins) -> _Network:
    splits = open_splits(spec, plugins)
    student = spec.student
    if shipped_as is not None:
        student = ModelSpec(model=shipped_as["name"], options=shipped_as["options"])
    classes = splits.classes if spec.student.classifier else None
    num_classes = splits.num_classes if spec.student.classifier else 0
    built = build_model(
        student,
        num_classes=num_classes,
        in_chans=count_of(spec.student.channels, spec.data.channels),
        image_size=spec.data.image_size,
        plugins=plugins,
        where="student",
        load_weights=False,
    )
    return _Network(
        model=built.model,
        input=built.input,
        num_classes=num_classes,
        classes=classes,
        named=None if shipped_as is None else student,
    )


def _newest(directory: RunDirectory) -> dict[str, Any]:
    state = Checkpoints(directory.checkpoints).peek()
    if state is None:
        raise UserError(Problem(str(directory.path), "this run is not finished and has no checkpoint yet"))
    return state


def _weights(state: dict[str, Any], which: Which) -> dict[str, Tensor]:
    """The student's weights in a checkpoint."""
    if which == "ema":
        averaged: dict[str, Tensor] = state["ema"]
        return averaged
    trained: dict[str, Tensor] = state["distillation"]
    if state.get("shipped") is not None:
        parts = state["shipped"]
        return {**{name: trained[source] for name, source in parts["names"].items()}, **parts["rest"]}
    prefix = "student."
    return {name.removeprefix(prefix): value for name, value in trained.items() if name.startswith(prefix)}


def _best(directory: RunDirectory) -> dict[str, Any]:
    try:
        return Checkpoints(directory.checkpoints).load_best()
    except Damaged as error:
        raise UserError(Problem(str(directory.checkpoints), f"the best student: {error}")) from error
