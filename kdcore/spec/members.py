"""The teachers of a spec by name: one object, or a list of objects with a name each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from kdcore.errors import Problem, listed, nearest
from kdcore.spec.model_spec import TeacherSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEAN: Final = "mean"
"""What a distiller's `teacher` says to get the mean of the probabilities of all teachers."""

ONLY: Final = "teacher"
"""The name of a run's only teacher if the spec gives it none."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Member:
    """A teacher of a run.

    Attributes:
        name: by which distillers, caches and results name it.
        where: its place in the spec, `teacher` or `teacher[1]`.
        spec: its section.
    """

    name: str
    where: str
    spec: TeacherSpec


def members(teachers: TeacherSpec | Sequence[TeacherSpec] | None) -> tuple[Member, ...]:
    """The teachers of a spec with their names and places."""
    if teachers is None:
        return ()
    if isinstance(teachers, TeacherSpec):
        return (Member(teachers.name or ONLY, "teacher", teachers),)
    return tuple(
        Member(teacher.name or ONLY, f"teacher[{number}]", teacher) for number, teacher in enumerate(teachers)
    )


def _one_or_several(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """An object stays one, and null too; a list becomes a tuple. As a list, so that errors have one form."""
    if value is None:
        return None
    several = isinstance(value, list | tuple)
    found = _named(validate(value if several else (value,)))
    return found if several else found[0]


def _as_given(value: Any, info: SerializationInfo) -> Any:
    how: dict[str, Any] = {"mode": info.mode, "exclude_unset": info.exclude_unset}
    if isinstance(value, TeacherSpec):
        return value.model_dump(**how)
    return value and [one.model_dump(**how) for one in value]


def _named(teachers: tuple[TeacherSpec, ...]) -> tuple[TeacherSpec, ...]:
    names: list[str] = []
    for number, teacher in enumerate(teachers):
        name = teacher.name
        if name is None and len(teachers) > 1:
            raise ValueError(f"of several teachers each needs a 'name'; number {number + 1} has none")
        if name is None:
            continue
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name '{name}' must be letters, digits, '_' and '-'")
        if name == "student":
            raise ValueError("the name 'student' stands for the student: choose another one")
        if name == MEAN:
            raise ValueError(f"the name '{MEAN}' stands for the mean of all teachers: choose another one")
        if name in names:
            raise ValueError(f"two teachers have the name '{name}'")
        names.append(name)
    return teachers


if TYPE_CHECKING:
    Teachers = TeacherSpec | tuple[TeacherSpec, ...] | None
else:
    Teachers = Annotated[
        tuple[TeacherSpec, ...],
        Field(min_length=1),
        WrapValidator(_one_or_several),
        PlainSerializer(_as_given),
        Field(
            json_schema_extra={"x-words": "an object, a list of objects with a 'name' each, or null"},
        ),
    ]


def teacher_problems(chosen: str | None, where: str, teachers: Sequence[Member]) -> Iterator[Problem]:
    """What is wrong with the name of the teacher that a distiller chose."""
    names = [member.name for member in teachers]
    if chosen is None or chosen in names or (chosen == MEAN and len(names) > 1):
        return
    place = f"{where}.teacher"
    if not names:
        yield Problem(place, "the spec has no teacher", value=chosen)
    elif chosen == MEAN:
        yield Problem(place, "there is only one teacher", chosen, hint="leave it out")
    else:
        yield unknown_teacher(chosen, names, place)


def unknown_teacher(chosen: str, names: Sequence[str], where: str) -> Problem:
    """A name that none of the teachers has, with those that can be chosen."""
    known = [*names, MEAN] if len(names) > 1 else names
    return Problem(
        where, "no teacher has this name", chosen, allowed=listed(known), nearest=nearest(chosen, known)
    )
