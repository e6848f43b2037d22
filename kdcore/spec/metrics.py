"""The metrics that a spec names, looked up without importing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.entries import MetricEntry
from kdcore.errors import Problem, UserError
from kdcore.task_kinds import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kdcore.plugins import Plugins, Provided


def metric_problems(names: Iterable[str], plugins: Plugins, *, task: str = "classes") -> tuple[Problem, ...]:
    """What is wrong with the names of metrics."""
    return _looked_up(names, plugins, task)[1]


def find_metrics(
    names: Iterable[str], plugins: Plugins, *, task: str = "classes"
) -> list[Provided[MetricEntry]]:
    """The metrics of a spec.

    Raises:
        UserError: one does not exist, is named twice, or is for another task.
    """
    found, problems = _looked_up(names, plugins, task)
    if problems:
        raise UserError(problems)
    return found


def _looked_up(
    names: Iterable[str], plugins: Plugins, task: str
) -> tuple[list[Provided[MetricEntry]], tuple[Problem, ...]]:
    found: list[Provided[MetricEntry]] = []
    problems: list[Problem] = []
    for number, name in enumerate(names):
        where = f"metrics[{number}]"
        try:
            item = plugins.find(MetricEntry, name, where)
        except UserError as error:
            problems += error.problems
            continue
        if any(item.qualified == other.qualified for other in found):
            problems.append(Problem(where, "this metric is in the list twice", name))
        elif task not in item.entry.tasks:
            tasks = " and ".join(f"'{one}'" for one in item.entry.tasks)
            message = f"this metric is for the task {tasks}, and the task is '{task}'"
            hint = "nothing is measured by labels: leave it out" if task == NO_LABELS else None
            problems.append(Problem(where, message, name, hint=hint))
        else:
            found.append(item)
    return found, tuple(problems)
