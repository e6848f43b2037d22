"""Problems of methods, each reported once although several methods have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class MethodProblems:
    """Collects the problems of all methods."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._found: dict[str, tuple[Problem, list[str]]] = {}

    def add(self, label: str, problems: Iterable[Problem]) -> None:
        """Add problems of one method."""
        for problem in problems:
            _, labels = self._found.setdefault(str(problem), (problem, []))
            if label not in labels:
                labels.append(label)

    def check(self) -> None:
        """Raise UserError if there is a problem."""
        found = [
            problem if len(labels) == len(self._labels) else _with_labels(problem, labels)
            for problem, labels in self._found.values()
            if labels
        ]
        if found:
            raise UserError(found)


def _with_labels(problem: Problem, labels: Sequence[str]) -> Problem:
    return replace(problem, where=f"{', '.join(labels)}: {problem.where}")
