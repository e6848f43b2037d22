"""What a tuning found: a row for each trial, the best one, and how it compares with the spec's own values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kd_compare.tuning.ledger import REASON, REFUSED, REPEATS, SCORES, VIOLATIONS, WORKER
from kdcore import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kd_compare.result import ComparisonResult

TrialStatus = Literal["running", "finished", "pruned", "failed"]
TuneStatus = Literal["running", "finished", "failed", "interrupted", "prepared"]
AGAIN: Final = "the same command with --retry-failed trains their values again"
_STATUSES: dict[str, TrialStatus] = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: from 0.
        status: `pruned`: it was stopped early, as its score was low.
        values: by place in the spec, what was tried.
        score: mean of the objective over its seeds; of a pruned trial at its last epoch. None: it failed, or runs.
        scores: of each seed.
        after: by epoch, the mean score when the pruner looked at it.
        feasible: whether it keeps all constraints; None: not known.
        worker: the process that trained it.
        error: why it failed.
        refused: a check of the spec does not allow its values, so it was not trained.
        repeats: the number of a failed trial with the same values.
    """

    number: int
    status: TrialStatus
    values: dict[str, Any]
    score: float | None
    scores: tuple[float, ...]
    after: dict[int, float]
    feasible: bool | None
    worker: str
    error: str | None
    refused: bool = False
    repeats: int | None = None


@dataclass(frozen=True)
class TuneResult:
    """What `tune` returns, and `tuning.json` holds.

    Attributes:
        directory: the tuning's folder.
        status: `finished`, or what has become of it; `prepared`: the launcher has left runs to the user; `running`:
            other workers are still at work.
        objective: the measure that counts; None before the first trial has ended.
        minimize: whether less of it is better.
        space: by place in the spec, what is searched.
        trials: in their order.
        best: the number of the best trial that keeps all constraints; None: there is none.
        best_spec: the file of the spec with its values, ready for `kd run`.
        importance: by place in the spec, its part in the differences between the scores, all together 1.
        comparison: of the best values with the spec's own ones, over seeds that no trial had; None: it was not made.
        seconds: wall time of this call.
        commands: what the user runs before the next call, in any order or at the same time.
    """

    directory: Path
    status: TuneStatus
    objective: str | None
    minimize: bool
    space: dict[str, str]
    trials: tuple[TrialRow, ...]
    best: int | None
    best_spec: Path | None
    importance: dict[str, float]
    comparison: ComparisonResult | None
    seconds: float
    commands: tuple[str, ...] = ()

    @property
    def best_trial(self) -> TrialRow | None:
        """The best trial."""
        return None if self.best is None else self.trials[self.best]

    def ranked(self) -> list[TrialRow]:
        """Finished trials that keep all constraints, the best first; then the others by their number."""
        return sorted(self.trials, key=lambda row: _rank(row, self.minimize))

    def failures(self) -> list[TrialRow]:
        """The trials that failed."""
        return [row for row in self.trials if row.status == "failed"]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kdcore": __version__,
            "name": self.directory.name,
            **{name: value for name, value in vars(self).items() if name not in ("trials", "comparison")},
            "directory": str(self.directory),
            "best_spec": None if self.best_spec is None else str(self.best_spec),
            "trials": [asdict(row) for row in self.trials],
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
        }


def trial_rows(trials: Sequence[Any]) -> tuple[TrialRow, ...]:
    """Rows of Optuna's trials."""
    return tuple(_row(one) for one in trials)


def best_of(rows: Sequence[TrialRow], minimize: bool) -> int | None:
    """The number of the best finished trial that keeps all constraints; of equals the first."""
    known = [row for row in rows if row.status == "finished" and row.feasible]
    return min(known, key=lambda row: _rank(row, minimize)).number if known else None


def to_repeat(rows: Sequence[TrialRow]) -> list[int]:
    """The numbers of the trials that `--retry-failed` repeats: those that failed, and that no other repeats.

    Trials whose values a check refused are not among them: they would fail in the same way.
    """
    repeated = {row.repeats for row in rows}
    return [
        row.number
        for row in rows
        if row.status == "failed" and not row.refused and row.number not in repeated
    ]


def _rank(row: TrialRow, minimize: bool) -> tuple[bool, float, int]:
    counts = row.status == "finished" and bool(row.feasible) and row.score is not None
    score = row.score or 0.0
    return (not counts, (score if minimize else -score) if counts else 0.0, row.number)


def _row(one: Any) -> TrialRow:
    status = _STATUSES.get(one.state.name, "running")
    violations = one.user_attrs.get(VIOLATIONS)
    return TrialRow(
        number=one.number,
        status=status,
        values=dict(one.params),
        score=one.value,
        scores=tuple(one.user_attrs.get(SCORES, ())),
        after=dict(one.intermediate_values),
        feasible=None if violations is None else all(value <= 0 for value in violations.values()),
        worker=one.user_attrs[WORKER],
        error=one.user_attrs.get(REASON),
        refused=one.user_attrs.get(REFUSED, False),
        repeats=one.user_attrs.get(REPEATS),
    )
