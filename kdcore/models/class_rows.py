"""Which of a teacher's classes are those of the data: `teacher.classes`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from kdcore.errors import Problem, UserError, nearest
from kdcore.models.class_names import plain_name
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BY_NAME: Final = "by-name"
_MOST: Final = 8
"""Names that a message shows."""


@dataclass(frozen=True)
class TeacherClasses:
    """The classes that a teacher knows.

    Attributes:
        count: their number.
        names: of each class, its name first and then others that it is known by; None: not known.
    """

    count: int
    names: tuple[tuple[str, ...], ...] | None

    @classmethod
    def of(cls, count: int, names: Sequence[str] | None) -> TeacherClasses:
        """Classes with these names; one that lists synonyms, such as 'tench, Tinca tinca', is known by each of them."""
        if names is None:
            return cls(count, None)
        return cls(count, tuple((name, *synonyms(name)) for name in names))

    def find(self, name: str) -> list[int]:
        """The classes of this name, by its first names, otherwise by the others."""
        exact, first, others = self._found
        plain = plain_name(name)
        return exact.get(name) or first.get(plain) or others.get(plain) or []

    @cached_property
    def _found(self) -> tuple[dict[str, list[int]], ...]:
        """The classes by their names as written, by these as they are compared, and by their other names."""
        exact: dict[str, list[int]] = {}
        first: dict[str, list[int]] = {}
        others: dict[str, list[int]] = {}
        for index, names in enumerate(self.names or ()):
            exact.setdefault(names[0], []).append(index)
            first.setdefault(plain_name(names[0]), []).append(index)
            for plain in {plain_name(name) for name in names[1:]}:
                others.setdefault(plain, []).append(index)
        return exact, first, others

    def shown(self) -> str:
        """The names for a message."""
        return _few([f"{index} {names[0]}" for index, names in enumerate(self.names or ())])


def synonyms(name: str) -> tuple[str, ...]:
    """The parts of a name that lists synonyms, separated by ', '; none for a plain name."""
    parts = tuple(part.strip() for part in name.split(", "))
    return parts if len(parts) > 1 else ()


def class_rows(
    wanted: Literal["by-name"] | Mapping[str, str | int],
    teacher: TeacherClasses,
    data: Sequence[str] | None,
    num_classes: int,
    where: str,
) -> tuple[int, ...]:
    """The teacher's class for each class of the data, `K` indices that all differ.

    Args:
        wanted: 'by-name', or the teacher's class, its name or index, by the name of the data's class; by its index as
            text if the data's classes have no names.
        teacher: the teacher's classes.
        data: the names of the data's classes in their order, or None.
        num_classes: K of the data.
        where: the place of `teacher.classes`.

    Raises:
        UserError: a class is missing on either side, or two classes of the data are one of the teacher's.
    """
    if isinstance(wanted, str):
        return _distinct(_by_name(teacher, data, where), _keys(data, num_classes), where)
    keys = _keys(data, num_classes)
    problems: list[Problem] = []
    unknown = [name for name in wanted if name not in keys]
    for name in unknown:
        message = "the data has no such class"
        allowed = _few(keys)
        problems.append(Problem(where, message, name, allowed, nearest(name, keys)))
    missing = [name for name in keys if name not in wanted]
    if missing:
        message = f"{len(missing)} of the data's {num_classes} classes are not mapped: {_few(missing)}"
        problems.append(Problem(where, message, hint="give the teacher's class for each class of the data"))
    rows: list[int] = []
    for name in keys:
        if name in wanted:
            found = _one(wanted[name], teacher, where, name)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                rows.append(found)
    if problems:
        raise UserError(problems)
    return _distinct(rows, keys, where)


def _keys(data: Sequence[str] | None, num_classes: int) -> list[str]:
    return list(data) if data is not None else [str(index) for index in range(num_classes)]


def _by_name(teacher: TeacherClasses, data: Sequence[str] | None, where: str) -> list[int]:
    if teacher.names is None or data is None:
        whose = "the teacher's" if teacher.names is None else "the data's"
        raise UserError(
            Problem(
                where,
                f"the names of {whose} classes are not known, so they cannot be compared",
                BY_NAME,
                hint="give a mapping from each class of the data to the teacher's class or its index",
            )
        )
    found = {name: teacher.find(name) for name in data}
    absent = [name for name, rows in found.items() if not rows]
    problems: list[Problem] = []
    if absent:
        near = nearest(absent[0], [one for names in teacher.names for one in names])
        problems.append(
            Problem(
                where,
                f"the teacher does not know {len(absent)} of the data's {len(data)} classes: {_few(absent)}; "
                f"teacher: {teacher.shown()}; data: {_few(list(data))}",
                BY_NAME,
                nearest=near,
                hint='give a mapping: "classes": {"NAME OF THE DATA": "NAME OR INDEX OF THE TEACHER", ...}',
            )
        )
    for name, rows in found.items():
        if len(rows) > 1:
            problems.append(_several(name, rows, teacher, where))
    if problems:
        raise UserError(problems)
    return [rows[0] for rows in found.values()]


def _one(value: str | int, teacher: TeacherClasses, where: str, key: str) -> int | Problem:
    place = f"{where}.{key}"
    if isinstance(value, int):
        if 0 <= value < teacher.count:
            return value
        return Problem(place, "the teacher has no class of this index", value, f"0 to {teacher.count - 1}")
    if teacher.names is None:
        allowed = f"an index from 0 to {teacher.count - 1}"
        return Problem(place, "the names of the teacher's classes are not known", value, allowed)
    rows = teacher.find(value)
    if not rows:
        near = nearest(value, [one for names in teacher.names for one in names])
        return Problem(place, "the teacher has no class of this name", value, teacher.shown(), near)
    return rows[0] if len(rows) == 1 else _several(value, rows, teacher, place)


def _several(name: str, rows: Sequence[int], teacher: TeacherClasses, where: str) -> Problem:
    assert teacher.names is not None
    which = ", ".join(f"{row} {printable(teacher.names[row][0])}" for row in rows)
    message = f"the teacher has {len(rows)} classes of this name: {which}"
    return Problem(where, message, name, hint="map it to the index of one of them")


def _distinct(rows: Sequence[int], keys: Sequence[str], where: str) -> tuple[int, ...]:
    first: dict[int, str] = {}
    for row, key in zip(rows, keys, strict=True):
        if row in first:
            message = f"'{first[row]}' and '{key}' are both class {row} of the teacher"
            raise UserError(Problem(where, message, hint="map each class of the data to another class"))
        first[row] = key
    return tuple(rows)


def _few(names: Sequence[Any]) -> str:
    text = ", ".join(printable(str(name)) for name in names[:_MOST])
    return text if len(names) <= _MOST else f"{text}, ... ({len(names) - _MOST} more)"
