"""The score of a run: the measure on the evaluation images that a tuning is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kd_compare.result import RANKED
from kdcore import Problem, UserError
from kdcore.plugin import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore import RunDirectory


def score_after(directory: RunDirectory, epoch: int, objective: str | None) -> float:
    """The score of a run after an epoch, or after its last one if it ended before.

    Raises:
        UserError: the run does not measure the objective.
    """
    records = directory.metrics()
    record = records[min(epoch, len(records)) - 1] if records else {}
    return _chosen(record.get("eval") or {}, objective)


def final_score(directory: RunDirectory, objective: str | None) -> float:
    """The score of the student that a finished run keeps.

    Raises:
        UserError: the run does not measure the objective.
    """
    return _chosen((directory.summary() or {}).get("student") or {}, objective)


def measured(directory: RunDirectory) -> str | None:
    """The default objective: the first of top-1, k-NN top-1 and agreement that the run has."""
    scores = (directory.summary() or {}).get("student") or {}
    return next((name for name in RANKED if scores.get(name) is not None), None)


def _chosen(scores: Mapping[str, Any], objective: str | None) -> float:
    numbers = {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    names = RANKED if objective is None else (objective,)
    for name in names:
        if name in numbers:
            return numbers[name]
    raise UserError(
        Problem(
            "--objective",
            "the runs do not measure this" if objective else "the runs measure nothing to compare trials by",
            objective,
            ", ".join(sorted(numbers)) or None,
            nearest(objective or "", numbers),
        )
    )
