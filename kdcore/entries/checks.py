"""Checks of the fields of declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from kdcore.task_kinds import TASKS

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
COMMAND: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
FILE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[\w-][\w.-]*(/[\w-][\w.-]*)*\.toml")
TARGET: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Paper:
    """The publication of a method."""

    title: str
    year: int
    url: str


def label(entry: Any) -> str:
    """How an error names the entry."""
    return f"{type(entry).__name__}(name={entry.name!r})"


def check_common(entry: Any) -> None:
    """Check name, summary and target."""
    check_text(entry, "name", NAME, "letters, digits, '_', '.' and '-'")
    check_line(entry, "summary")
    check_text(entry, "target", TARGET, "'package.module:attribute'")


def check_options(entry: Any) -> None:
    """Check the name of a model of options, or None."""
    if entry.options is not None:
        check_text(entry, "options", TARGET, "'package.module:attribute', or None")


def check_paper(entry: Any) -> None:
    """Check that it is a `Paper` or None."""
    if entry.paper is not None and not isinstance(entry.paper, Paper):
        raise ValueError(f"{label(entry)}: paper must be a kdcore.Paper or None, not {entry.paper!r}")


def check_strings(entry: Any, field: str) -> None:
    """Check a sequence of strings, and make a tuple of it."""
    value = getattr(entry, field)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"{label(entry)}: {field} must be a sequence of strings, not {value!r}")
    texts = tuple(value)
    wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
    if wrong:
        raise ValueError(f"{label(entry)}: {field} has {wrong[0]!r}; it must have strings")
    object.__setattr__(entry, field, texts)


def check_tasks(entry: Any) -> None:
    """Check that `tasks` has some of `TASKS`."""
    check_strings(entry, "tasks")
    wrong = [task for task in entry.tasks if task not in TASKS]
    if wrong or not entry.tasks:
        raise ValueError(f"{label(entry)}: tasks is {entry.tasks!r}; it must name some of {', '.join(TASKS)}")


def check_text(entry: Any, field: str, form: re.Pattern[str], meaning: str) -> None:
    """Check that a field is text of a form, which `meaning` describes."""
    value = getattr(entry, field)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{label(entry)}: {field} is {value!r}; it must be {meaning}")


def check_line(entry: Any, field: str) -> None:
    """Check that a field is one line of text."""
    value = getattr(entry, field)
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise ValueError(f"{label(entry)}: {field} must be one line of text, not {value!r}")
