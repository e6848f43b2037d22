"""Distillers from names, options or instances."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from kdcore.distill.seeds import derive
from kdcore.distill.teachers import setup_for
from kdcore.entries import DistillerEntry
from kdcore.errors import KdError, Problem, UserError, listed
from kdcore.protocols import Distiller, Requires, Setup
from kdcore.spec.load import ResolvedDistiller
from kdcore.spec.members import MEAN
from kdcore.spec.resolve import resolve_distiller, resolve_task_weight

if TYPE_CHECKING:
    from kdcore.options import DistillerOptions, Schedule
    from kdcore.plugins import Plugins
    from kdcore.protocols import ModelInfo


@dataclass(frozen=True, kw_only=True)
class BuiltDistillers:
    """The distillers of a run.

    Attributes:
        modules: by name.
        schedules: of those that have one, by name.
        teachers: the teacher that each one chose by name, 'mean', or None.
        task_weight: of the task loss.
    """

    modules: dict[str, nn.Module]
    schedules: dict[str, Schedule]
    teachers: dict[str, str | None]
    task_weight: float


class _ReadsLogitsError(UserError):
    """The distiller reads the logits of a model that is an encoder.

    Attributes:
        role: `student` or `teacher`.
    """

    def __init__(self, problem: Problem, role: str) -> None:
        super().__init__(problem)
        self.role = role


_MOST: Final = 200  # distillers in a message: all of them
DistillerLike = str | Mapping[str, Any] | nn.Module | ResolvedDistiller


def build_distillers(
    distillers: DistillerLike | Sequence[DistillerLike],
    options: Mapping[str, Any],
    setup: Setup,
    plugins: Plugins,
    task_weight: float | None,
    seed: int,
    *,
    some_labels: bool = False,
    partly_labelled: bool = False,
) -> BuiltDistillers:
    """Build the distillers.

    With `some_labels`, those that read the labels have to allow samples without one; with `partly_labelled`, samples of
    which only some labels are known.

    Raises:
        UserError: a name or option is wrong, a distiller cannot work with these models or without what is missing.
    """
    items = (
        list(distillers)
        if isinstance(distillers, Sequence) and not isinstance(distillers, str)
        else [distillers]
    )
    if not items:
        raise UserError(Problem("distiller", "the list of distillers is empty; give at least one"))
    if options and (len(items) > 1 or not isinstance(items[0], str)):
        raise UserError(
            Problem(
                "distiller",
                f"options {sorted(options)} are only allowed with the name of a single distiller",
                hint='in a list, write {"name": ..., "option": ...}',
            )
        )
    built: dict[str, nn.Module] = {}
    schedules: dict[str, Schedule] = {}
    teachers: dict[str, str | None] = {}
    weights: list[float] = []
    for number, item in enumerate(items):
        where = "distiller" if len(items) == 1 else f"distiller[{number}]"
        schedule = choice = None
        instance = _instance(item)
        if instance is not None:
            name, module, weight = type(instance.module).__name__.lower(), instance.module, 1.0
            choice = instance.teacher
            _check(module, name, setup_for(choice, setup, where), where, choice)
        else:
            assert not isinstance(item, nn.Module)
            resolved = _resolve(item, options, plugins, where)
            name, weight = resolved.provided.entry.name, resolved.provided.entry.task_weight
            schedule, choice = resolved.schedule, resolved.teacher
            own = setup_for(choice, setup, where)
            try:
                module = _build(resolved, own, plugins, where, seed, number)
            except _ReadsLogitsError as error:
                (problem,) = error.problems
                works = listed(_working(own, plugins, seed), _MOST)
                raise UserError(replace(problem, allowed=f"with this {error.role} work: {works}")) from error
        name = _unique(name, built)
        _check_task(module, name, setup.task, where)
        built[name], teachers[name] = module, choice
        if schedule is not None:
            schedules[name] = schedule
        weights.append(weight)
    _check_one_student(built)
    if some_labels:
        check_some_labels(built, setup, plugins, seed, partly=partly_labelled)
    instances = all(_instance(item) is not None for item in items)  # all of them have the same weight
    weight = resolve_task_weight(
        task_weight, weights[:1] if instances else weights, classifier=setup.student.has_logits
    )
    return BuiltDistillers(modules=built, schedules=schedules, teachers=teachers, task_weight=weight)


@dataclass(frozen=True)
class _Instance:
    """A distiller that was built already, and the teacher that it reads."""

    module: nn.Module
    teacher: str | None = None


def _instance(item: DistillerLike) -> _Instance | None:
    """A module, alone or as `{"distiller": module, "teacher": name}`."""
    if isinstance(item, nn.Module):
        return _Instance(item)
    if isinstance(item, Mapping) and isinstance(item.get("distiller"), nn.Module):
        return _Instance(item["distiller"], item.get("teacher"))
    return None


def _check_task(distiller: nn.Module, name: str, task: str, where: str) -> None:
    if not cast("Distiller", distiller).requires.works_with(task):
        of = {
            "labels": "is for images of one class each, and these have several labels",
            "none": "reads labels or is for several of them, and with the task 'none' there are none",
        }
        message = f"distiller '{name}' {of.get(task, 'is for another task')}"
        hint = f"kd list-distillers --task {task} shows those that work"
        raise UserError(Problem(where, message, hint=hint))


def has_head_of_student(distiller: nn.Module) -> bool:
    """Whether a distiller has a head that belongs to the student: its class has the method `student`."""
    return callable(getattr(type(distiller), "student", None))


def _check_one_student(built: Mapping[str, nn.Module]) -> None:
    several = [name for name, one in built.items() if has_head_of_student(one)]
    if len(several) > 1:
        who = listed(f"'{name}'" for name in several)
        message = (
            f"distillers {who} each have a head that belongs to the student; a student can have one of them"
        )
        raise UserError(Problem("distiller", message))


def check_some_labels(
    built: Mapping[str, nn.Module], setup: Setup, plugins: Plugins, seed: int, *, partly: bool = False
) -> None:
    """Raises UserError if a distiller needs the label of every sample, or every label of the samples that have one."""
    needs = _needs_whole_labels if partly else _needs_every_label
    needing = [name for name, one in built.items() if needs(one)]
    if needing:
        who = listed(f"'{name}'" for name in needing)
        said = f"distillers {who} need" if len(needing) > 1 else f"distiller {who} needs"
        message = f"{said} the label of every training image, and only some have one"
        if partly:
            message = f"{said} all labels of a training image, and of some images only some are known"
        own = setup_for(None, setup, "distiller")
        works = listed(_working(own, plugins, seed, lambda one: not needs(one)), _MOST)
        raise UserError(Problem("distiller", message, allowed=f"with these images work: {works}"))


def _needs_every_label(distiller: nn.Module) -> bool:
    requires = cast("Distiller", distiller).requires
    return requires.reads_labels and requires.unlabelled is None


def _needs_whole_labels(distiller: nn.Module) -> bool:
    requires = cast("Distiller", distiller).requires
    return requires.reads_labels and requires.unlabelled != "given"


def _build(
    resolved: ResolvedDistiller, setup: Setup, plugins: Plugins, where: str, seed: int, number: int
) -> nn.Module:
    return build_distiller(
        plugins.load(resolved.provided, where),
        resolved.options,
        setup,
        name=resolved.name,
        label=f"{resolved.provided.qualified} {resolved.provided.plugin.version}",
        where=where,
        seed=seed,
        number=number,
        choice=resolved.teacher,
    )


def _working(
    setup: Setup,
    plugins: Plugins,
    seed: int,
    suits: Callable[[nn.Module], bool] = lambda distiller: True,
) -> Iterator[str]:
    """The installed distillers that work with these models, and that suit, each with its default options."""
    for item in plugins.all(DistillerEntry):
        if item.entry.kind == "baseline":
            continue
        with contextlib.suppress(Exception):  # whatever makes it unusable here
            resolved = resolve_distiller(item.qualified, {}, plugins, "")
            if suits(_build(resolved, setup, plugins, "", seed, 0)):
                yield item.entry.name


def build_distiller(
    factory: Any,
    options: DistillerOptions,
    setup: Setup,
    *,
    name: str,
    label: str,
    where: str = "distiller",
    seed: int,
    number: int = 0,
    choice: str | None = None,
) -> nn.Module:
    """Build one distiller from its class.

    Args:
        factory: the class, or a function like it.
        options: checked options.
        setup: what the distiller may know of the run.
        name: its name in messages about what it needs.
        label: its name, plugin and version, for messages about its own code.
        where: the place of problems.
        seed: of the run.
        number: its position among the distillers of the run.
        choice: the name of the teacher that the spec chose for it.

    Raises:
        UserError: it cannot work with these models or without what is missing, or it is not a distiller.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # a head for classes, and there are none: what reads them is refused below
        warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
        torch.default_generator.manual_seed(derive(seed, "heads", number))
        try:
            module = factory(options, setup)
        except UserError as error:
            raise UserError(_of_distiller(name, problem) for problem in error.problems) from error
        except KdError:
            raise
        except ValueError as error:  # a distiller raises it if it cannot work with these models
            raise UserError(Problem(where, f"{label}: {error}")) from error
        except AttributeError as error:
            if setup.teacher is None and error.obj is None:  # it used the teacher, and there is none
                raise UserError(_needs_teacher(name, setup, where)) from error
            raise
    if not isinstance(module, nn.Module):
        raise UserError(Problem(where, f"{label} made {type(module).__name__}, not an nn.Module"))
    _check(module, name, setup, where, choice)
    return module


def _resolve(
    item: str | Mapping[str, Any] | ResolvedDistiller,
    options: Mapping[str, Any],
    plugins: Plugins,
    where: str,
) -> ResolvedDistiller:
    if isinstance(item, ResolvedDistiller):
        return item
    if isinstance(item, str):
        return resolve_distiller(item, options, plugins, where)
    fields = dict(item)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise UserError(Problem(where, "a distiller needs a 'name'", value=dict(item)))
    return resolve_distiller(name, fields, plugins, where)


def _check(module: nn.Module, name: str, setup: Setup, where: str, choice: str | None) -> None:
    requires = getattr(module, "requires", None)
    if not isinstance(module, Distiller) or not isinstance(requires, Requires):
        raise UserError(
            Problem(
                where,
                f"{type(module).__name__} is not a distiller: its attribute 'requires' must be a kdcore.Requires",
            )
        )
    if requires.several_teachers and choice is not None:
        message = f"distiller '{name}' reads all teachers of the spec"
        raise UserError(Problem(f"{where}.teacher", message, choice, hint="leave it out"))
    read = _read(requires, setup)
    if requires.teacher and not read:
        raise UserError(_needs_teacher(name, setup, where))
    still = [teacher for teacher, info in read.items() if not info.learns]
    if requires.teacher_learns and still:
        which = "its teacher is" if len(setup.teachers) == 1 else f"these teachers are: {listed(still)}"
        raise UserError(
            Problem(
                "teacher",
                f"distiller '{name}' trains student and teacher together, and {which} frozen",
                hint='add "learns": true to the teacher',
            )
        )
    for teacher, info in read.items():
        if requires.teacher_logits and not info.has_logits:
            problem = _reads_logits(name, teacher if len(setup.teachers) > 1 else None)
            raise _ReadsLogitsError(problem, "teacher")
    if not setup.student.has_logits:
        if requires.reads_student_logits:
            raise _ReadsLogitsError(_of_student(f"distiller '{name}' reads the student's logits"), "student")
        if has_head_of_student(module):
            what = f"distiller '{name}' has a head that becomes the student's classifier"
            raise _ReadsLogitsError(_of_student(what), "student")
    problems = list(_unavailable(requires, setup, name))
    if problems:
        raise UserError(problems)


def _read(requires: Requires, setup: Setup) -> dict[str, ModelInfo]:
    """The teachers that a distiller reads, by name."""
    if not requires.teacher:
        return {}
    if requires.several_teachers:
        return dict(setup.teachers)
    if setup.teacher is None:
        return {}
    names = [name for name, info in setup.teachers.items() if info is setup.teacher]
    return {names[0] if names else MEAN: setup.teacher}


def _needs_teacher(name: str, setup: Setup, where: str) -> Problem:
    if len(setup.teachers) > 1:
        return Problem(
            where,
            f"distiller '{name}' reads one teacher, and the spec has several",
            allowed=listed([*setup.teachers, MEAN]),
            hint='name one of them, "teacher": NAME; "mean" is the mean of their probabilities',
        )
    return Problem(
        "teacher", f"distiller '{name}' needs a teacher, and the spec has none", hint='add "teacher": {...}'
    )


def _reads_logits(name: str, teacher: str | None) -> Problem:
    which = "this teacher" if teacher is None else f"teacher '{teacher}'"
    return Problem(
        "teacher.classifier",
        f"distiller '{name}' reads the teacher's logits, and {which} has no classifier",
        value=False,
        hint="use another distiller, or a teacher with a classifier for the classes of the data",
    )


def _of_student(what: str) -> Problem:
    return Problem(
        "student.classifier",
        f"{what}, and this student has no classifier",
        value=False,
        hint="use another distiller, or a student with a classifier",
    )


def _of_distiller(name: str, problem: Problem) -> Problem:
    """The problem, with the distiller's name in its message."""
    if f"'{name}'" in problem.message:
        return problem
    return replace(problem, message=f"{problem.message} (distiller '{name}' needs it)")


def _unavailable(requires: Requires, setup: Setup, name: str) -> Iterable[Problem]:
    if requires.distillation_logits and not setup.student.has_distillation_logits:
        yield Problem(
            "student",
            f"distiller '{name}' reads the logits of a second classifier, and {setup.student.name} has none",
            hint="use a distilled model, such as 'deit_tiny_distilled_patch16_224', 'levit_128s' or "
            "'pit_ti_distilled_224'",
        )
    # each stage is probed here, so a stage that does not exist is an error before training
    read = [("student", setup.student, requires.student_stages, requires.student_embedding)]
    for teacher, info in _read(requires, setup).items():
        own = requires.of_member(teacher)
        assert not isinstance(own.teacher_stages, Mapping)
        role = "teacher" if len(setup.teachers) == 1 else f"teacher '{teacher}'"
        read.append((role, info, own.teacher_stages, own.teacher_embedding))
    for role, info, stages, embedding in read:
        try:
            for stage in stages:
                info.stage(stage)
            if embedding:
                _ = info.embedding_dim
        except UserError as error:
            yield from (replace(_of_distiller(name, problem), where=role) for problem in error.problems)


def _unique(name: str, taken: Mapping[str, nn.Module]) -> str:
    """The name, with a number added if another distiller of the run has it."""
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique
