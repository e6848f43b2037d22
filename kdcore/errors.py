"""Errors of two kinds: the user can fix the input (exit code 2), or the run failed (exit code 1)."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore.text import message, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ABSENT: Final = object()
_MOST_PROBLEMS: Final = 50
_SHOWN = 120  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in the input: where, which value, what is allowed, and the nearest allowed value.

    `where` is a path in the spec (`student.model`), a flag (`--set`), a file, or a plugin.
    """

    where: str
    message: str
    value: Any = _ABSENT
    allowed: str | None = None
    nearest: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        said = printable(self.message)
        text = f"{printable(self.where)}: {said}" if self.where else said
        if self.value is not _ABSENT:
            text += f" (got {shown(self.value)})"
        if self.nearest is not None:
            text += f"\n    did you mean {printable(repr(self.nearest))}?"
        if self.allowed is not None:
            text += f"\n    allowed: {message(self.allowed)}"
        if self.hint is not None:
            text += f"\n    {message(self.hint)}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """The problem as JSON-ready fields; unused fields are left out."""
        fields: dict[str, Any] = {"where": self.where, "message": self.message}
        if self.value is not _ABSENT:
            fields["value"] = _jsonable(self.value)
        for name in ("allowed", "nearest", "hint"):
            if getattr(self, name) is not None:
                fields[name] = getattr(self, name)
        return fields


class KdError(Exception):
    """Base of the errors that kd explains; `exit_code` is the exit code of the command."""

    exit_code = 1

    def __str__(self) -> str:
        return message(super().__str__())


class UserError(KdError):
    """The input is wrong: spec, flag, file or plugin. Holds every problem that was found."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __str__(self) -> str:
        told, more = first_of(self.problems)
        return "\n".join([*map(str, told), *more])


def first_of(problems: Sequence[Problem]) -> tuple[Sequence[Problem], list[str]]:
    """As many problems as a person reads, and a line with the number of the others."""
    left = len(problems) - _MOST_PROBLEMS
    if left <= 0:
        return problems, []
    return problems[:_MOST_PROBLEMS], [f"... and {left:,} more problems: fix these first"]


class RunFailed(KdError):
    """A run could not continue: a loss is not finite, the disk is full, a file is gone."""


class Interrupted(KdError):
    """A run stopped on request, after it wrote a checkpoint.

    `exit_code` is 130 (Ctrl-C), 143 (SIGTERM) or 129 (SIGHUP).
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is most similar to `name`; None if none is similar."""
    names = sorted(set(known))
    by_lower = {candidate.lower(): candidate for candidate in reversed(names)}
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message: sorted, at most `most`, with the number of the others."""
    ordered = sorted(set(names))
    text = ", ".join(ordered[:most]) or "none"
    return text if len(ordered) <= most else f"{text}, ... ({len(ordered) - most} more)"


def shown(value: Any) -> str:
    """A value as JSON if possible, cut to a readable length."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = printable(repr(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _jsonable(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)
    return value
