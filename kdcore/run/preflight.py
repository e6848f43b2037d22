"""The check before training: find data, build models without memory, fit heads, try settings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import torch

from kdcore import launcher
from kdcore.distill.classes import check_teacher_run
from kdcore.distill.splits import Splits, open_splits
from kdcore.distill.teacher_classes import DataClasses
from kdcore.errors import Problem, UserError
from kdcore.inspect.metrics import load_metrics
from kdcore.models.parameters import count_parameters
from kdcore.run.caller_state import own_surroundings
from kdcore.run.norm_check import norm_problems
from kdcore.run.optimizer import build_optimizer, build_scheduler
from kdcore.run.optimizer_trial import try_optimizer
from kdcore.run.output_check import check_outputs
from kdcore.run.prepare import Prepared, Process, prepare
from kdcore.run.schedule_trial import try_schedule
from kdcore.run.separate import separate_problems
from kdcore.run.sharding import problems as sharding_problems
from kdcore.run.shared_images import shared_image_notes
from kdcore.spec.trackers import missing_libraries
from kdcore.spec.train_spec import scaled_optimizer

if TYPE_CHECKING:
    from kdcore.distill.distillation import Distillation
    from kdcore.plugins import Plugins
    from kdcore.spec.load import LoadedSpec


_CLASSIFIER: Final = {
    "trained": "",
    "new": "; a new classifier on the encoder of student.checkpoint",
    "none": "; an encoder, without a classifier",
}


@dataclass(frozen=True)
class Preflight:
    """What a check found: data, models and sizes of a run.

    `classifier` says of the student's: it is trained on from its weights or initial values, it is new on an encoder's
    weights, or there is none. `train_labelled` is the number of training images with a label; None: it is not known
    before they are read.
    """

    student: str
    student_parameters: int
    teachers: dict[str, tuple[str, int]]  # the model and its parameters, by the teacher's name
    head_parameters: int
    num_classes: int
    train_size: int | None
    eval_size: int | None
    image_size: tuple[int, int]
    warnings: tuple[str, ...] = field(default=())
    teacher_cache: str | None = None
    classifier: Literal["trained", "new", "none"] = "trained"
    heads: dict[str, int] = field(default_factory=dict)  # parameters of each distiller that has any
    train_split: str = ""
    eval_split: str | None = None
    test_split: str | None = None
    train_labelled: int | None = None
    transforms: tuple[str, ...] = ()  # what the student's transforms did, one line each

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        teachers = [
            {"name": name, "model": model, "parameters": parameters}
            for name, (model, parameters) in self.teachers.items()
        ]
        return {
            **self.__dict__,
            "teachers": teachers,
            "image_size": list(self.image_size),
            "transforms": list(self.transforms),
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Lines to show."""
        side = "x".join(map(str, self.image_size))
        size = "a stream of" if self.train_size is None else f"{self.train_size:,}"
        classes = f"{self.num_classes} classes" if self.num_classes else "no classes"
        text = [f"data     {size} images of {side}{self._labelled()}, {classes}{self._splits()}"]
        for name, (model, parameters) in self.teachers.items():
            label = f"'{name}': " if len(self.teachers) > 1 else ""
            text.append(f"teacher  {label}{model}, {parameters:,} parameters")
        student = f"{self.student}, {self.student_parameters:,} parameters"
        text.append(f"student  {student}{self._heads()}{_CLASSIFIER[self.classifier]}")
        text += [f"student  {note}" for note in self.transforms]
        return text if self.teacher_cache is None else [*text, f"cache    {self.teacher_cache}"]

    def _heads(self) -> str:
        if not self.head_parameters:
            return ""
        each = ", ".join(f"{name} {number:,}" for name, number in self.heads.items())
        parts = f" ({each})" if len(self.heads) > 1 else ""
        return f", {self.head_parameters:,} more in the distillers' heads{parts}"

    def _labelled(self) -> str:
        if self.train_labelled is None or not 0 < self.train_labelled < (self.train_size or 0):
            return ""
        return f", {self.train_labelled:,} of them with a label"

    def _splits(self) -> str:
        named = {
            "trained on": self.train_split,
            "evaluated on": self.eval_split,
            "tested on": self.test_split,
        }
        described = [f"{what} '{split}'" for what, split in named.items() if split]
        return "".join(f", {text}" for text in described)


def check(loaded: LoadedSpec, plugins: Plugins | None = None, *, compare_splits: bool = True) -> Preflight:
    """Find every error that can be found without training, also in the teacher's own spec.

    Args:
        loaded: the spec.
        plugins: where names are looked up.
        compare_splits: whether to warn about images that are in two splits.

    Raises:
        UserError: lists all problems that were found.
    """
    from kdcore.plugins import get_plugins

    with own_surroundings("kdcore.validate"):
        report, splits = _check(loaded, plugins or get_plugins())
        notes = shared_image_notes(splits) if compare_splits else ()
        return replace(report, warnings=report.warnings + notes)


def _check(loaded: LoadedSpec, plugins: Plugins) -> tuple[Preflight, Splits]:
    if missing := list(missing_libraries(loaded.spec.trackers)):
        raise UserError(missing)
    below = _check_teachers(loaded, plugins)
    classes = {name: splits.num_classes for name, splits in below.items()}
    splits = open_splits(loaded.spec, plugins, loaded.teachers, classes)
    for member in loaded.spec.members:
        if member.name in below:
            check_teacher_run(member, _classes(below[member.name]), _classes(splits))
    prepared = prepare(loaded, splits, plugins, Process(torch.device("meta")))
    if loaded.spec.metrics is not None:
        load_metrics(loaded.spec.metrics, plugins, lambda line: None)
    warnings = check_outputs(prepared.models, splits.num_classes, loaded.spec.members, plugins)
    warnings += _check_training(loaded, prepared)
    cache = None
    if loaded.spec.teacher_cache is not None:
        from kdcore.run.cached_teacher import check_cache

        cache = check_cache(loaded, prepared, splits)
    return _report(splits, prepared, cache, warnings), splits


def _check_teachers(loaded: LoadedSpec, plugins: Plugins) -> dict[str, Splits]:
    """Check the specs of the teachers' runs; returns their images, by the teachers' names."""
    found = {}
    for member in loaded.spec.members:
        below = loaded.teachers.get(member.name)
        if below is None:
            continue
        try:
            found[member.name] = _check(below, plugins)[1]
        except UserError as error:
            name = below.path.name if below.path else below.spec.name
            place = f"{member.where}.run ({name})"
            raise UserError(_under(place, problem) for problem in error.problems) from error
    return found


def _classes(splits: Splits) -> DataClasses:
    return DataClasses(splits.num_classes, splits.classes)


def _check_training(loaded: LoadedSpec, prepared: Prepared) -> tuple[str, ...]:
    spec = loaded.spec
    problems: list[Problem] = []
    warnings: tuple[str, ...] = ()
    problems += sharding_problems(spec, prepared.distillation)
    problems += separate_problems(spec)
    if spec.train.compile == "step":
        problems += _step_problems(prepared.distillation)
    try:
        optimizer = build_optimizer(scaled_optimizer(spec.optimizer, spec.train), prepared.distillation)
        trial = try_optimizer(
            scaled_optimizer(spec.optimizer, spec.train), prepared.distillation.parameters()
        )
        problems, warnings = problems + list(trial.problems), trial.warnings
        steps = -(-prepared.train.batches_per_epoch // spec.train.accumulate)
        epochs = spec.train.epochs
        scheduler = build_scheduler(spec.scheduler, optimizer, epochs=epochs, steps_per_epoch=steps)
        if scheduler is not None:
            told = try_schedule(spec.scheduler, scheduler, optimizer, epochs, steps)
            warnings += () if told is None else (told,)
    except UserError as error:
        problems += error.problems
    problems += norm_problems(spec, prepared, launcher.processes())
    if problems:
        raise UserError(problems)
    return warnings


def _step_problems(distillation: Distillation) -> list[Problem]:
    """Why the whole step of this run cannot be compiled."""
    problems, count_of = list(distillation.step_problems()), launcher.processes()
    if count_of > 1:
        message = (
            f"in a run of {count_of} processes, they exchange tensors within a step, which is not compiled"
        )
        hint = "true compiles student and teacher; or use one process"
        problems.append(Problem("train.compile", message, "step", "true or false", hint=hint))
    return problems


def _report(splits: Splits, prepared: Prepared, cache: str | None, warnings: tuple[str, ...]) -> Preflight:
    teachers = {name: placed.built for name, placed in prepared.models.teachers.items()}
    heads, of_student = (
        _heads_of(prepared.distillation),
        count_parameters(prepared.models.student.built.model),
    )
    warnings += tuple(
        f"distiller: the heads of '{name}' have {number:,} parameters, more than the student ({of_student:,}); they "
        "take memory and time in training"
        for name, number in heads.items()
        if number > of_student
    )
    return Preflight(
        student=prepared.models.student.built.name,
        student_parameters=of_student,
        teachers={name: (built.name, count_parameters(built.model)) for name, built in teachers.items()},
        head_parameters=sum(heads.values()),
        heads=heads,
        num_classes=splits.num_classes,
        train_size=None if splits.train.stream else prepared.train.size,
        eval_size=prepared.eval.total,
        image_size=prepared.models.input.image_size,
        warnings=prepared.warnings + warnings,
        teacher_cache=cache,
        train_split=prepared.train_split,
        train_labelled=prepared.train.labelled_size,
        eval_split=prepared.eval_split,
        test_split=prepared.test_split,
        classifier=_classifier(prepared),
        transforms=prepared.models.student.built.notes,
    )


def _heads_of(distillation: Distillation) -> dict[str, int]:
    """How many parameters each distiller has that has any."""
    counts = zip(distillation.names, map(count_parameters, distillation.distillers), strict=True)
    return {name: number for name, number in counts if number}


def _classifier(prepared: Prepared) -> Literal["trained", "new", "none"]:
    student = prepared.models.student
    if not student.classifier:
        return "none"
    return "new" if student.built.new_classifier else "trained"


def _under(place: str, problem: Problem) -> Problem:
    return Problem(
        f"{place}: {problem.where}",
        problem.message,
        allowed=problem.allowed,
        nearest=problem.nearest,
        hint=problem.hint,
    )
