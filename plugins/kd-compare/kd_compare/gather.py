"""The result as things stand, from the directories of a comparison's runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from kd_compare.result import METRICS, RANKED, ComparisonResult, MethodRow, RunRow, Status
from kd_compare.run_job import log_path
from kd_compare.statistics import deviation, mean, paired_gains
from kdcore.plugin import has_top_5

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kd_compare.plan import ComparisonPlan
    from kd_compare.planned_run import PlannedRun
    from kd_compare.statistics import Gain


def gather(
    plan: ComparisonPlan,
    statuses: Mapping[str, tuple[Status, str | None]],
    dropped: Mapping[str, int],
    *,
    status: Literal["running", "finished", "failed", "interrupted", "prepared"],
    launcher: str,
    jobs: int,
    seconds: float,
    commands: tuple[str, ...] = (),
) -> ComparisonResult:
    """The result as things stand, from the run directories.

    Args:
        plan: the comparison.
        statuses: by a run's name, what has become of it, and why it failed.
        dropped: by label, the epoch after which the budget dropped it.
        status: of the whole.
        launcher: the name of the launcher.
        jobs: runs at a time.
        seconds: wall time of this call.
        commands: what the user runs before the next call.
    """
    found = [
        _Found(run, *statuses.get(run.name, ("waiting", None)), log_path(plan.folder, run.name))
        for run in plan.runs
    ]
    metric = plan.metric or next(
        (name for name in RANKED if any(one.row.value(name) is not None for one in found)), "top1"
    )
    known = [one for one in found if one.summary]
    taught = next((one.summary["teacher"] for one in known if one.summary.get("teacher")), None)
    student = next((one.summary["student"] for one in known if one.summary.get("student")), None)
    budget = None
    if plan.budget is not None:
        budget = {"rungs": list(plan.budget.rungs), "eta": plan.budget.eta}
    return ComparisonResult(
        directory=plan.folder,
        status=status,
        metric=metric,
        baseline=plan.baseline,
        seeds=plan.seeds,
        methods=_rows(plan, found, metric, dropped),
        runs=tuple(one.row for one in found),
        curves={
            label: _curve([one for one in found if one.run.label == label], metric) for label in plan.labels
        },
        teacher=taught,
        student=None if student is None else {name: student[name] for name in ("model", "parameters")},
        budget=budget,
        epochs=max(run.loaded.spec.train.epochs for run in plan.runs),
        epochs_trained=sum(one.row.epochs for one in found),
        epochs_planned=sum(run.loaded.spec.train.epochs for run in plan.runs),
        launcher=launcher,
        jobs=jobs,
        seconds=seconds,
        commands=commands,
        tuned=None if plan.tuned is None else dict(plan.tuned),
    )


class _Found:
    """A run with what its directory says."""

    def __init__(self, run: PlannedRun, status: Status, error: str | None, log: Path) -> None:
        self.run = run
        self.records = run.directory.metrics()
        self.summary: dict[str, Any] = run.directory.summary() or {}
        classes = (self.summary.get("data") or {}).get("num_classes")
        last: dict[str, Any] = (self.records[-1].get("eval") or {}) if self.records else {}
        if status == "finished":  # of the student that the run kept
            last = self.summary.get("student") or last
        self.row = RunRow(
            method=run.label,
            seed=run.seed,
            directory=str(run.directory.path),
            status=status,
            epochs=len(self.records),
            top1=last.get("top1"),
            top5=last.get("top5") if has_top_5(classes) else None,
            agreement=last.get("agreement"),
            knn_top1=last.get("knn_top1"),
            neighbour_agreement=last.get("neighbour_agreement"),
            test_top1=((self.summary.get("test") or {}).get("student") or {}).get("top1"),
            scores=_measured(last, self.records),
            test_scores=_numbers((self.summary.get("test") or {}).get("student") or {}),
            intervals={name: (low, high) for name, (low, high) in (last.get("intervals") or {}).items()},
            images_per_second=mean([record["images_per_second"] for record in self.records]),
            wall_seconds=self.summary.get("wall_seconds"),
            error=error,
            log=str(log) if log.exists() else None,
            report=str(run.directory.report) if run.directory.report.is_file() else None,
        )


def _rows(
    plan: ComparisonPlan, found: Sequence[_Found], metric: str, dropped: Mapping[str, int]
) -> tuple[MethodRow, ...]:
    """A row for each method, with its gains over the baseline."""
    scores = {label: _scores(found, label, metric) for label in plan.labels}
    tests = {label: _test_scores(found, label, metric) for label in plan.labels}
    gains, test_gains = _gains(scores, plan.baseline), _gains(tests, plan.baseline)
    return tuple(
        replace(
            _method(
                label,
                [one for one in found if one.run.label == label],
                scores[label],
                dropped.get(label),
                metric,
            ),
            gain=gains.get(label),
            test_score=mean(list(tests[label].values())),
            test_gain=test_gains.get(label),
        )
        for label in plan.labels
    )


def _measured(about: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The measures of a student: what an epoch's record has, and mAP, which may be measured at the end alone."""
    names = [name for record in records[-1:] for name in record.get("eval") or {}]
    return {
        name: float(value)
        for name in dict.fromkeys((*names, "map"))
        if isinstance(value := about.get(name), int | float)
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _test_scores(found: Sequence[_Found], label: str, metric: str) -> dict[int, float]:
    return {
        one.run.seed: one.row.test_scores[metric]
        for one in found
        if one.run.label == label and one.row.status == "finished" and metric in one.row.test_scores
    }


def _gains(scores: Mapping[str, Mapping[int, float]], baseline: str | None) -> dict[str, Gain]:
    """By label, the gain over the baseline."""
    if baseline is None:
        return {}
    others = {label: own for label, own in scores.items() if label != baseline}
    return paired_gains(others, scores[baseline])


def _scores(found: Sequence[_Found], label: str, metric: str) -> dict[int, float]:
    pairs = [
        (one.run.seed, one.row.value(metric))
        for one in found
        if one.run.label == label and one.row.status == "finished"
    ]
    return {seed: score for seed, score in pairs if score is not None}


def _method(
    label: str,
    own: Sequence[_Found],
    scores: Mapping[int, float],
    dropped_after: int | None,
    metric: str,
) -> MethodRow:
    done = [one for one in own if one.row.status == "finished"]
    distiller = "+".join(item.name for item in own[0].run.loaded.spec.distiller)

    def average(name: str) -> float | None:
        values = [getattr(one.row, name) for one in done or own]
        return mean([value for value in values if value is not None])

    def average_score(name: str) -> float | None:
        return mean([one.row.scores[name] for one in done if name in one.row.scores])

    names = dict.fromkeys(name for one in done for name in one.row.scores)
    finished = len(done) == len(own)
    at = None
    if dropped_after is not None and not finished:
        at = mean(
            [score for one in own if (score := score_at(one.records, dropped_after, metric)) is not None]
        )
    extra = [one.summary["distiller"]["parameters"] for one in own if one.summary.get("distiller")]
    return MethodRow(
        label=label,
        distiller=distiller,
        status="finished" if finished else "dropped" if dropped_after is not None else "partial",
        finished=len(done),
        runs=len(own),
        score=mean(list(scores.values())),
        std=deviation(list(scores.values())),
        gain=None,  # `_rows` adds the gains
        test_gain=None,
        **{name: average(name) if done else None for name in (*METRICS, "top5", "test_top1")},
        scores={name: score for name in names if (score := average_score(name)) is not None},
        images_per_second=average("images_per_second"),
        extra_parameters=extra[0] if extra else None,
        wall_seconds=average("wall_seconds"),
        dropped_after=None if finished else dropped_after,
        dropped_at=at,
    )


def score_at(records: Sequence[dict[str, Any]], epoch: int, metric: str | None = None) -> float | None:
    """A run's score after an epoch: the metric, or whichever there is; None where it has not come so far."""
    for record in records:
        if record["epoch"] == epoch:
            scores = record.get("eval") or {}
            names = RANKED if metric is None else (metric,)
            value = next((scores[name] for name in names if scores.get(name) is not None), None)
            return None if value is None else float(value)
    return None


def _curve(own: Sequence[_Found], metric: str) -> list[float]:
    curve = []
    for epoch in range(1, min((len(one.records) for one in own), default=0) + 1):
        values = [score_at(one.records, epoch, metric) for one in own]
        middle = mean([value for value in values if value is not None])
        if middle is None:
            break
        curve.append(middle)
    return curve
