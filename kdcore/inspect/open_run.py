"""A run directory opened again: its student and teacher with their weights, and the images it was evaluated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import ValidationError

from kdcore.data import build_eval_data, open_split
from kdcore.data.chosen_samples import ChosenSource, at_most
from kdcore.data.evaluate import WithoutLabels, eval_batch_size
from kdcore.data.inputs import InputConfig, resolve_input
from kdcore.data.subset import choose_samples
from kdcore.distill.models import Builder, plan_teacher, teacher_view
from kdcore.distill.splits import open_splits
from kdcore.errors import KdError, Problem, UserError
from kdcore.features import find_adapter
from kdcore.inspect.predictions import Predictions, Subject, predict
from kdcore.models import build_model, load_student
from kdcore.plugins import get_plugins
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.directory import RunDirectory
from kdcore.rundir.statefile import Damaged
from kdcore.spec.load import LoadedSpec, load_spec
from kdcore.spec.models import RunSpec

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from kdcore.data import EvalData, Source
    from kdcore.plugins import Plugins
    from kdcore.spec.models import DataSpec

Which = Literal["last", "best", "ema"]
"""Which of a run's students: the one it ended with, the one of the best epoch, or the averaged one."""


@dataclass(frozen=True)
class OpenedModel:
    """A model of a run, in evaluation mode.

    Attributes:
        name: as the spec calls it.
        subject: the model, how it wants the student's images, and its feature adapter.
        input: size and normalisation of its images.
    """

    name: str
    subject: Subject
    input: InputConfig

    @property
    def parameters(self) -> int:
        """How many numbers were or could be trained."""
        return sum(parameter.numel() for parameter in self.subject.model.parameters())


@dataclass(frozen=True)
class OpenedRun:
    """What is left of a run.

    Attributes:
        directory: the run directory.
        spec: what was run.
        num_classes: K.
        classes: their names, or None.
        whole: all images that the run was evaluated on, undecoded.
        source: those of them to look at.
        data: the same in batches, for the student.
        student: the student that was asked for.
        teacher: the teacher, or None.
        teacher_missing: why there is none although the run had one.
        device: where the models are.
    """

    directory: RunDirectory
    spec: RunSpec
    num_classes: int
    classes: tuple[str, ...] | None
    whole: Source
    source: Source
    data: EvalData
    student: OpenedModel
    teacher: OpenedModel | None
    teacher_missing: str | None
    device: torch.device

    def predict(
        self, *, embeddings: bool = False, limit: int | None = None
    ) -> tuple[Predictions, Predictions | None]:
        """Student's and teacher's predictions of the same images.

        Raises:
            RunFailed: an image cannot be read.
        """
        models = [self.student] if self.teacher is None else [self.student, self.teacher]
        found = predict(
            [model.subject for model in models],
            self.data,
            device=self.device,
            embeddings=embeddings,
            precision=self.spec.train.precision,
            channels_last=self.spec.train.channels_last,
            limit=limit,
        )
        return found[0], found[1] if len(found) > 1 else None

    def image(self, position: int) -> Image.Image | None:
        """The image at a position of the data as it was before any transform; None from a stream."""
        return None if self.source.stream else self.source[position][0]


def open_run(
    path: str | Path,
    *,
    student: Which = "last",
    teacher: bool = True,
    data: DataSpec | None = None,
    most: int | None = None,
    device: torch.device | str | None = None,
    plugins: Plugins | None = None,
) -> OpenedRun:
    """Open a run, finished or not. The plugins of its distillers are not needed.

    Args:
        path: the run directory.
        student: which student.
        teacher: whether the teacher is wanted; where it cannot be had, `teacher_missing` says why.
        data: other data than the run's, such as its own with another `eval_split`.
        most: at most so many images, the same ones each time; of a stream all.
        device: where the models go; None: the accelerator if there is one.
        plugins: where names are looked up.

    Raises:
        UserError: there is no run, it has no such student, or its data is not to be had.
    """
    plugins = plugins or get_plugins()
    directory = RunDirectory(Path(path))
    spec = read_spec(directory)
    model = open_student(directory, spec, student, plugins)
    if data is not None:
        spec = spec.model_copy(update={"data": data})
    place = torch.device(device) if device is not None else _default_device()
    source = open_split(
        spec.data, spec.data.eval_split or spec.data.train_split, plugins=plugins, where="data.eval_split"
    )
    guide, missing = None, None
    if teacher and spec.teacher is not None:
        try:
            guide = _open_teacher(directory, spec, model, plugins, place)
        except KdError as error:
            missing = str(error)
    model.opened.subject.model.to(place)
    whole = evaluation_images(source, spec.data)
    images = at_most(whole, most)
    return OpenedRun(
        directory,
        spec,
        model.num_classes,
        model.classes or source.classes,
        whole,
        images,
        evaluation_data(images, spec, model.opened.input, model.num_classes, place),
        model.opened,
        guide,
        missing,
        place,
    )


def evaluation_images(source: Source, data: DataSpec) -> Source:
    """The images of the split that a run with this data is evaluated on, in the order in which it is."""
    if source.stream:
        return source
    positions = choose_samples(source, data.eval_samples, 0, "data.eval_samples")
    return source if positions is None else ChosenSource(source, positions)


def evaluation_data(
    images: Source, spec: RunSpec, taken: InputConfig, num_classes: int, device: torch.device
) -> EvalData:
    """Images in batches for a model that takes `taken`; without labels where the run has no evaluation split."""
    batches = build_eval_data(
        images,
        spec.data.model_copy(update={"eval_samples": None, "in_memory": False}),  # they are read once
        taken,
        batch_size=eval_batch_size(spec.train.batch_size),
        num_classes=num_classes,
        device=device,
    )
    return WithoutLabels(batches) if spec.data.eval_split is None else batches


def read_spec(directory: RunDirectory) -> RunSpec:
    """The spec of a run; its plugins are not asked.

    Raises:
        UserError: there is no run, or its spec is of another version of kdcore.
    """
    if not directory.exists:
        raise UserError(Problem(str(directory.path), "this is no run directory: it has no spec.json"))
    try:
        return RunSpec.model_validate(directory.spec())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"is not a spec of this version of kdcore: {place}: {first['msg']}"
        raise UserError(Problem(str(directory.path / "spec.json"), message)) from error


@dataclass(frozen=True)
class OpenedStudent:
    """A run's student; K, and the classes' names where they are known."""

    opened: OpenedModel
    num_classes: int
    classes: tuple[str, ...] | None


def open_student(directory: RunDirectory, spec: RunSpec, which: Which, plugins: Plugins) -> OpenedStudent:
    """A run's student on the CPU; the data is opened only where the run has not come to its end.

    Raises:
        UserError: there is no such student, or it cannot be built.
    """
    folder = directory.path / ("student-ema" if which == "ema" else "student")
    if which == "ema" and spec.train.ema is None:
        raise UserError(
            Problem(str(directory.path), "this run has no averaged student: its train.ema is null")
        )
    if directory.finished and folder.is_dir():
        loaded = load_student(folder, plugins=plugins)
        model, taken, config = loaded.model, loaded.input, loaded.config
        if which == "best":
            model.load_state_dict(_best(directory))
        num_classes, classes = config.num_classes, config.class_names
    else:
        splits = open_splits(spec, plugins)
        num_classes, classes = splits.num_classes, splits.classes
        built = build_model(
            spec.student,
            num_classes=num_classes,
            in_chans=spec.data.channels,
            image_size=spec.data.image_size,
            plugins=plugins,
            where="student",
            load_weights=False,
        )
        model, taken = built.model, built.input
        model.load_state_dict(_best(directory) if which == "best" else _newest(directory, which))
    taken = resolve_input(spec.data, taken)
    adapter = find_adapter(model, spec.student.adapter, plugins, "student.adapter")
    return OpenedStudent(
        OpenedModel(spec.student.model, Subject(model.eval(), None, adapter), taken), num_classes, classes
    )


def _newest(directory: RunDirectory, which: Which) -> dict[str, Tensor]:
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


def _best(directory: RunDirectory) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = Checkpoints(directory.checkpoints).load_best()["student"]
    except Damaged as error:
        raise UserError(Problem(str(directory.checkpoints), f"the best student: {error}")) from error
    return weights


def _open_teacher(
    directory: RunDirectory, spec: RunSpec, student: OpenedStudent, plugins: Plugins, device: torch.device
) -> OpenedModel:
    assert spec.teacher is not None
    below = None
    if spec.teacher.run is not None:
        below = _teacher_run(
            Path(spec.teacher.run), (None, Path(spec.output), directory.path.parent), plugins
        )
    taken = student.opened.input
    plan = plan_teacher(spec, below, taken)
    assert plan is not None
    built = Builder(spec, student.num_classes, plugins).build(plan.model, "teacher", plan.size, plan.fallback)
    adapter = find_adapter(built.model, spec.teacher.adapter, plugins, "teacher.adapter")
    view = teacher_view(taken, built, device)
    subject = Subject(built.model.to(device).eval(), view, adapter)
    return OpenedModel(built.name, subject, built.input)


def _teacher_run(spec: Path, outputs: tuple[Path | None, ...], plugins: Plugins) -> LoadedSpec:
    """The teacher's spec, with the output folder in which its finished run is.

    Its own `output` comes first; a run with `--output`, or one that was moved, has the teacher's beside it.

    Raises:
        UserError: the spec cannot be loaded, or there is no finished run of it.
    """
    looked = []
    for output in outputs:
        loaded = load_spec(spec, output=output, plugins=plugins)
        found = loaded.directory
        if found.finished:
            return loaded
        looked.append(str(found.path))
    raise UserError(
        Problem("teacher.run", f"its finished run is in none of {', '.join(dict.fromkeys(looked))}")
    )


def _default_device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if accelerator is None else accelerator
