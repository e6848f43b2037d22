"""Whether a distiller can work with the models and the task of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from kdcore.errors import Problem, UserError, listed
from kdcore.plugins.calling import MISTAKE, call_fault
from kdcore.plugins.owner import owned
from kdcore.protocols import Distiller, Requires, Setup
from kdcore.spec.members import MEAN

if TYPE_CHECKING:
    from torch import nn

    from kdcore.protocols import ModelInfo


class ReadsLogitsError(UserError):
    """The distiller reads the logits of a model that is an encoder.

    Attributes:
        role: `student` or `teacher`.
    """

    def __init__(self, problem: Problem, role: str) -> None:
        super().__init__(problem)
        self.role = role


def check_models(module: nn.Module, name: str, setup: Setup, where: str, choice: str | None) -> None:
    """Raises UserError if it is not a distiller, or the models lack what it reads."""
    requires = getattr(module, "requires", None)
    who = owned(f"distiller '{name}'", module)
    if not isinstance(module, Distiller) or not isinstance(requires, Requires):
        message = f"{who}: the attribute 'requires' of {type(module).__name__} must be a kdcore.Requires"
        raise UserError(Problem(where, message, hint=MISTAKE))
    if fault := call_fault(module.forward, "student", "teacher", "batch", "progress"):
        raise UserError(Problem(where, f"{who}: its forward {fault}", hint=MISTAKE))
    if requires.several_teachers and choice is not None:
        message = f"distiller '{name}' reads all teachers of the spec"
        raise UserError(Problem(f"{where}.teacher", message, choice, hint="leave it out"))
    read = _read(requires, setup)
    if requires.teacher and not read:
        raise UserError(needs_teacher(name, setup, where))
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
            raise ReadsLogitsError(problem, "teacher")
    if not setup.student.has_logits:
        if requires.reads_student_logits:
            raise ReadsLogitsError(_of_student(f"distiller '{name}' reads the student's logits"), "student")
        if has_head_of_student(module):
            what = f"distiller '{name}' has a head that becomes the student's classifier"
            raise ReadsLogitsError(_of_student(what), "student")
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


def needs_teacher(name: str, setup: Setup, where: str) -> Problem:
    """There is no teacher, or it is not said which one the distiller reads."""
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
            yield from (replace(of_distiller(name, problem), where=role) for problem in error.problems)


def of_distiller(name: str, problem: Problem) -> Problem:
    """The problem, with the distiller's name in its message."""
    if f"'{name}'" in problem.message:
        return problem
    return replace(problem, message=f"{problem.message} (distiller '{name}' needs it)")


def check_task(distiller: nn.Module, name: str, task: str, where: str) -> None:
    """Raises UserError if the distiller is for another kind of labels."""
    if not cast("Distiller", distiller).requires.works_with(task):
        of = {
            "labels": "is for images of one class each, and these have several labels",
            "none": "reads labels or is for several of them, and with the task 'none' there are none",
        }
        message = f"distiller '{name}' {of.get(task, 'is for another task')}"
        hint = f"kd list-distillers --task {task} shows those that work"
        raise UserError(Problem(where, message, hint=hint))


def check_one_student(built: Mapping[str, nn.Module]) -> None:
    """Raises UserError if several distillers have a head that belongs to the student."""
    several = [name for name, one in built.items() if has_head_of_student(one)]
    if len(several) > 1:
        who = listed(f"'{name}'" for name in several)
        message = (
            f"distillers {who} each have a head that belongs to the student; a student can have one of them"
        )
        raise UserError(Problem("distiller", message))


def has_head_of_student(distiller: nn.Module) -> bool:
    """Whether a distiller has a head that belongs to the student: its class has the method `student`."""
    return callable(getattr(type(distiller), "student", None))
