"""What `kd eval` is to look at: a run, a checkpoint or a model by its name, with images and a teacher."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.commands.export.students import find_run
from kdcore.data import build_eval_data, open_split, resolve_input
from kdcore.data.chosen_samples import at_most
from kdcore.distill.models import teacher_view
from kdcore.errors import Problem, UserError, nearest
from kdcore.features import find_adapter
from kdcore.inspect.open_run import OpenedModel, Which, evaluation_images, open_run, read_spec
from kdcore.inspect.predictions import Subject
from kdcore.models import build_model, load_config
from kdcore.models.checkpoints import read_checkpoint
from kdcore.models.class_names import check_class_names, pretrained_names
from kdcore.spec.models import DataSpec, TeacherSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from kdcore.data import EvalData, InputConfig, Source
    from kdcore.inspect.open_run import OpenedRun
    from kdcore.models import BuiltModel
    from kdcore.plugins import Plugins

_BATCH = 64


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; None: not said.

    Attributes:
        target: a run directory, a checkpoint, or a model's name.
        weights: which of a run's students.
        model: the model whose weights a checkpoint file holds.
        pretrained: take timm's weights.
        checkpoint: the weights of the model that `target` names.
        small_input: take the variant for small images.
        options: arguments of the model's constructor.
        data: a dataset instead of the run's.
        root: where it lies.
        split: of it.
        image_size: side of the input.
        teacher: a run directory or the name of a pretrained model; True: the run's own; False: none.
        samples: look at so many images only.
    """

    target: str
    weights: Which = "last"
    model: str | None = None
    pretrained: bool = False
    checkpoint: str | None = None
    small_input: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    root: str | None = None
    split: str | None = None
    image_size: int | None = None
    teacher: str | bool = True
    samples: int | None = None


@dataclass(frozen=True)
class Opened:
    """Models on their device, and images for the first of them."""

    student: OpenedModel
    teacher: OpenedModel | None
    teacher_missing: str | None
    images: EvalData
    dataset: str
    split: str
    channels: int
    device: torch.device
    precision: str
    channels_last: bool
    weights: Which | None
    warnings: tuple[str, ...]


def open_wanted(wanted: Wanted, device: torch.device, plugins: Plugins) -> Opened:
    """Find and build everything.

    Raises:
        UserError: the target, the data or the teacher is not to be had, or they do not fit each other.
    """
    path = Path(wanted.target)
    named = wanted.model is not None or wanted.pretrained or wanted.checkpoint is not None
    if path.is_dir() and load_config(path) is not None and not (path / "spec.json").is_file():
        return _open_model(replace(wanted, checkpoint=wanted.target), None, device, plugins)
    if path.is_dir() or (not path.is_file() and not named and _is_path(wanted.target, plugins)):
        _check_flags(wanted)
        return _open_run(wanted, device, plugins)
    if path.is_file() and wanted.checkpoint is None:
        if wanted.model is None:
            read_checkpoint(path, "TARGET", shapes_only=True)  # it may be no checkpoint at all
            message = "a checkpoint does not tell its model"
            raise UserError(
                Problem("--model", message, hint="--model NAME says it; a run directory knows it")
            )
        return _open_model(replace(wanted, checkpoint=wanted.target), wanted.model, device, plugins)
    return _open_model(wanted, wanted.model or wanted.target, device, plugins)


def _is_path(target: str, plugins: Plugins) -> bool:
    """Whether a target that is not there was meant as a run, rather than as a model's name."""
    import timm

    plain = target.removeprefix("timm/").partition(".")[0]
    names = {item.entry.name for item in plugins.models()} | {item.qualified for item in plugins.models()}
    if timm.is_model(plain) or target in names:
        return False
    if "/" in target or target.startswith("."):
        return True
    return nearest(plain, [*timm.list_models(), *names]) is None


def _check_flags(wanted: Wanted) -> None:
    """A run knows its model."""
    given = {
        "--model": wanted.model,
        "--pretrained": wanted.pretrained,
        "--checkpoint": wanted.checkpoint,
        "--small-input": wanted.small_input,
        "--option": wanted.options,
        "--image-size": wanted.image_size,
    }
    problems = [
        Problem(flag, f"{wanted.target} is a run, which knows its model", hint="leave it out")
        for flag, value in given.items()
        if value
    ]
    if problems:
        raise UserError(problems)


# -- a run ------------------------------------------------------------------------------------------------------------


def _open_run(wanted: Wanted, device: torch.device, plugins: Plugins) -> Opened:
    directory = find_run(wanted.target)
    spec = read_spec(directory)
    data = _with_flags(spec.data, wanted)
    with _flags_named(wanted):
        run = open_run(
            directory.path,
            student=wanted.weights,
            teacher=wanted.teacher is True,
            data=data,
            most=wanted.samples,
            device=device,
            plugins=plugins,
        )
    _check_classes(run.source, run.num_classes, run.classes, wanted)
    teacher, missing = run.teacher, run.teacher_missing
    warnings = run.source.notes
    if isinstance(wanted.teacher, str):
        teacher, more = _teacher(wanted.teacher, run.student, run, data, device, plugins)
        warnings += more
    return Opened(
        run.student,
        teacher,
        missing,
        run.data,
        data.dataset,
        run.source.split,
        data.channels,
        device,
        run.spec.train.precision,
        run.spec.train.channels_last,
        wanted.weights,
        warnings,
    )


def _with_flags(data: DataSpec, wanted: Wanted) -> DataSpec:
    changes: dict[str, Any] = {"in_memory": False}  # the images are read once
    if wanted.data is not None:
        # what was said for the run's dataset says nothing about this one
        changes |= {"dataset": wanted.data, "root": wanted.root, "num_classes": None, "options": {}}
    elif wanted.root is not None:
        changes["root"] = wanted.root
    if wanted.split is not None:
        changes["eval_split"] = wanted.split
    if wanted.data is not None or wanted.split not in (None, data.eval_split):
        changes["eval_samples"] = None
    if wanted.samples is not None and wanted.samples <= 1024:
        changes["workers"] = 0  # loader processes would not pay
    return data.model_copy(update=changes)


_OTHER_DATA = "give its classes the names that the model was trained with, in that order, or name other data"


def _check_classes(source: Source, num_classes: int, classes: tuple[str, ...] | None, wanted: Wanted) -> None:
    """Raises UserError where the data's classes are not those that the model knows."""
    where = "--data" if wanted.data is not None else "--split"
    if not source.labelled:
        return
    if source.classes is not None and classes is not None:
        check_class_names(
            classes, source.classes, where, model="model", value=wanted.data or wanted.split, hint=_OTHER_DATA
        )
    elif source.num_classes is not None and source.num_classes > num_classes:
        message = f"it has {source.num_classes} classes, the model knows {num_classes}"
        raise UserError(Problem(where, message, wanted.data or wanted.split))


# -- a model by its name, or a checkpoint -----------------------------------------------------------------------------


def _open_model(wanted: Wanted, name: str | None, device: torch.device, plugins: Plugins) -> Opened:
    if wanted.data is None:
        message = "which images? only a run knows its own"
        raise UserError(
            Problem("--data", message, hint="a registered name, a folder or tar, or timm's 'torch/...'")
        )
    data = DataSpec(
        dataset=wanted.data, root=wanted.root, eval_split=wanted.split or "test", image_size=wanted.image_size
    )
    data = _with_flags(data, replace(wanted, split=None))
    with _flags_named(wanted):
        source = open_split(data, data.eval_split or "", plugins=plugins, where="data.eval_split")
    spec = TeacherSpec(  # a teacher's weights have to know the data's classes, and so have these
        model=name,
        pretrained=wanted.pretrained,
        checkpoint=wanted.checkpoint,
        small_input=wanted.small_input,
        options=dict(wanted.options),
    )
    num_classes = _num_classes(source, spec)
    with _flags_named(wanted):
        built = build_model(
            spec,
            num_classes=num_classes,
            in_chans=data.channels,
            image_size=data.image_size,
            plugins=plugins,
            where="model",
        )
    names = built.class_names
    if built.pretrained_tag is not None:
        names = names or pretrained_names(getattr(built.model, "pretrained_cfg", {}), source.classes)
    _check_classes(source, num_classes, names, wanted)
    taken = resolve_input(data, built.input)
    student = _opened(built, None, taken, device, plugins)
    warnings = source.notes + built.warnings
    if built.random_weights:
        warnings += ("its weights are random: say --pretrained or --checkpoint",)
    teacher = None
    if isinstance(wanted.teacher, str):
        known = _Known(num_classes, names or source.classes)
        teacher, more = _teacher(wanted.teacher, student, known, data, device, plugins)
        warnings += more
    chosen = at_most(evaluation_images(source, data), wanted.samples)
    images = build_eval_data(chosen, data, taken, batch_size=_BATCH, num_classes=num_classes, device=device)
    return Opened(
        student,
        teacher,
        None,
        images,
        data.dataset,
        source.split,
        data.channels,
        device,
        "fp32",
        False,
        None,
        warnings,
    )


def _num_classes(source: Source, spec: TeacherSpec) -> int:
    config = None if spec.checkpoint is None else load_config(Path(spec.checkpoint))
    if config is not None:
        return config.num_classes
    if source.labelled and source.num_classes is not None:
        return source.num_classes
    if spec.pretrained:
        import timm

        known = timm.models.get_pretrained_cfg(str(spec.model))
        if known is not None and known.num_classes:
            return int(known.num_classes)
    message = "neither the data nor the weights tell the number of classes"
    raise UserError(Problem("--data", message, hint="labelled images in a folder per class tell it"))


@dataclass(frozen=True)
class _Known:
    """K, and the names of the classes where they are known."""

    num_classes: int
    classes: tuple[str, ...] | None


def _teacher(
    named: str,
    student: OpenedModel,
    known: _Known | OpenedRun,
    data: DataSpec,
    device: torch.device,
    plugins: Plugins,
) -> tuple[OpenedModel, tuple[str, ...]]:
    """The teacher that `--teacher` names: a run or a student's folder, or a model with timm's weights."""
    there = Path(named).exists()
    spec = TeacherSpec(checkpoint=named) if there else TeacherSpec(model=named, pretrained=True)
    try:
        built = build_model(
            spec,
            num_classes=known.num_classes,
            in_chans=data.channels,
            image_size=None,
            plugins=plugins,
            where="teacher",
        )
    except UserError as error:
        raise UserError(
            replace(problem, where="--teacher", value=named, allowed="a run directory, or a model of timm's")
            for problem in error.problems
        ) from error
    check_class_names(built.class_names, known.classes, "--teacher", value=named)
    view = teacher_view(student.input, built, device)
    return _opened(built, view, built.input, device, plugins), built.warnings


def _opened(
    built: BuiltModel, view: Any, taken: InputConfig, device: torch.device, plugins: Plugins
) -> OpenedModel:
    adapter = find_adapter(built.model, None, plugins, "model.adapter")
    return OpenedModel(built.name, Subject(built.model.to(device).eval(), view, adapter), taken)


# -- messages ---------------------------------------------------------------------------------------------------------


class _flags_named:  # noqa: N801  # a context manager
    """Tells problems at the flags that caused them, where there are such."""

    def __init__(self, wanted: Wanted) -> None:
        self._flags = {
            "data.dataset": "--data" if wanted.data is not None else None,
            "data.eval_split": "--split" if wanted.split is not None else None,
            "model.model": "TARGET" if wanted.model is None else "--model",
            "model.pretrained": "--pretrained",
            "model.checkpoint": "TARGET" if wanted.checkpoint == wanted.target else "--checkpoint",
            "model.small_input": "--small-input",
        }

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise UserError(
                replace(problem, where=self._told(problem.where)) for problem in error.problems
            ) from error

    def _told(self, where: str) -> str:
        if where.startswith("model.options."):
            return f"--option {where.removeprefix('model.options.')}"
        return self._flags.get(where) or where
