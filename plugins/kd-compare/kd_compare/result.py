"""What a comparison found: a row for each method, made from the directories of its runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from kd_compare.run_job import log_path
from kd_compare.statistics import CONFIDENCE, INTERVAL, Gain, deviation, mean, paired_gain
from kdcore import __version__
from kdcore.inspect import is_percent, measure_label, teachers_of
from kdcore.plugin import has_top_5

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kd_compare.plan import ComparisonPlan
    from kd_compare.planned_run import PlannedRun

Status = Literal["waiting", "running", "paused", "finished", "failed", "dropped"]
METRICS: Final = ("top1", "knn_top1", "agreement", "neighbour_agreement")
"""The measures that rows have as attributes."""
RANKED: Final = ("top1", "map", *METRICS[1:])
"""What methods are ranked by if no spec has `train.metric`: the first that a run has measured."""
_BESIDE: Final = {"knn_top1": "neighbour_agreement", "neighbour_agreement": None, "agreement": None}


def beside(metric: str) -> str | None:
    """The second column of a table: what is shown with the metric; None: nothing."""
    return _BESIDE.get(metric, "agreement")


def metric_label(metric: str) -> str:
    """A metric with its unit: `macro F1 %`; a metric of a plugin has a unit of its own."""
    return f"{measure_label(metric)} %" if is_percent(metric) else metric


@dataclass(frozen=True)
class RunRow:
    """One run.

    Attributes:
        method: its label.
        seed: its seed.
        directory: its run directory.
        status: what has become of it.
        epochs: how many it was trained for.
        top1: of the student after its last epoch, in percent; so are `top5` and `agreement` with the teacher.
        knn_top1: of a student without a classifier; so is `neighbour_agreement`.
        test_top1: of the finished student on `data.test_split`.
        test_scores: every measure of it there, by name.
        scores: every measure of the student in percent, and the metrics of plugins, by name.
        images_per_second: trained, mean over its epochs.
        wall_seconds: training and evaluation, over all its processes in time.
        error: why it failed.
        log: the file with its output; None: there is none yet.
    """

    method: str
    seed: int
    directory: str
    status: Status
    epochs: int = 0
    top1: float | None = None
    top5: float | None = None
    agreement: float | None = None
    knn_top1: float | None = None
    neighbour_agreement: float | None = None
    test_top1: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    test_scores: dict[str, float] = field(default_factory=dict)
    images_per_second: float | None = None
    wall_seconds: float | None = None
    error: str | None = None
    log: str | None = None

    def value(self, metric: str) -> float | None:
        """A measure by its name; None if the run does not have it."""
        found: float | None = getattr(self, metric) if metric in METRICS else self.scores.get(metric)
        return found


@dataclass(frozen=True)
class MethodRow:
    """One method: means over its finished runs.

    Attributes:
        label: its name in the table.
        distiller: the distillers that it trains with.
        status: `finished` if all its runs are; `dropped` by the budget; `partial` if some runs are not finished.
        finished: how many runs are finished.
        runs: how many there are to be.
        score: mean of the metric, in percent.
        std: the sample's standard deviation of it.
        gain: over the baseline; None for the baseline, or if there is no baseline.
        top1, top5, agreement, knn_top1, neighbour_agreement, test_top1: means, in percent.
        scores: means of every measure, by name.
        test_score: mean of the metric on `data.test_split`.
        test_gain: over the baseline there, seed by seed.
        images_per_second: mean.
        extra_parameters: trained parameters of the distiller's own heads.
        wall_seconds: mean of a run.
        dropped_after: the epoch after which the budget dropped it.
        dropped_at: its mean score then.
    """

    label: str
    distiller: str
    status: Literal["finished", "dropped", "partial"]
    finished: int
    runs: int
    score: float | None = None
    std: float | None = None
    gain: Gain | None = None
    top1: float | None = None
    top5: float | None = None
    agreement: float | None = None
    knn_top1: float | None = None
    neighbour_agreement: float | None = None
    test_top1: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    test_score: float | None = None
    test_gain: Gain | None = None
    images_per_second: float | None = None
    extra_parameters: int | None = None
    wall_seconds: float | None = None
    dropped_after: int | None = None
    dropped_at: float | None = None


@dataclass(frozen=True)
class ComparisonResult:
    """What `compare` returns, and `comparison.json` holds.

    Attributes:
        directory: the comparison's folder.
        status: `finished` if every run is finished or dropped; `prepared` if the launcher has left runs to the user.
        metric: what methods are ranked by: `train.metric` of the specs; without it top-1, or without labels the
            agreement with the teacher; of students without a classifier k-NN top-1, or the neighbours shared with the
            teacher.
        methods: in the order that was asked for.
        runs: of every method and seed.
        curves: of each method, the mean over its runs of the metric after each epoch.
        teacher: model, parameters and top-1, from a run; a list if there are several, each with its name.
        student: model and parameters.
        epochs: of a whole run.
        epochs_trained: over all runs; `epochs_planned` if none were dropped.
        launcher: what started the runs.
        jobs: runs at a time.
        seconds: wall time of this call.
        commands: what the user runs before the next call, in any order or at the same time.
        tuned: if each method was tuned first: `trials`, `sampler`, `sampler_seed` and `seed` of all; in `methods`, by
            label, the `search`, the `values` found, their `score`, the `own_score` of the spec's own values, the number
            of the `trial`, how many `failed`, and the tuning's `directory`; None: the method has nothing to search.
    """

    directory: Path
    status: Literal["running", "finished", "failed", "interrupted", "prepared"]
    metric: str
    baseline: str | None
    seeds: tuple[int, ...]
    methods: tuple[MethodRow, ...]
    runs: tuple[RunRow, ...]
    curves: dict[str, list[float]]
    teacher: dict[str, Any] | list[dict[str, Any]] | None
    student: dict[str, Any] | None
    budget: dict[str, Any] | None
    epochs: int
    epochs_trained: int
    epochs_planned: int
    launcher: str
    jobs: int
    seconds: float
    commands: tuple[str, ...] = ()
    tuned: dict[str, Any] | None = None

    @property
    def teachers(self) -> dict[str, dict[str, Any]]:
        """Each teacher by a label: `teacher`, or `teacher 'a'` for each of several."""
        return teachers_of({"teacher": self.teacher})

    def ranked(self) -> list[MethodRow]:
        """The best first; then the dropped ones, the last dropped first; then those without a finished run."""
        return sorted(
            self.methods,
            key=lambda row: (
                row.score is None,
                -(row.score or 0),
                -(row.dropped_after or 0),
                -(row.dropped_at or 0),
            ),
        )

    def failures(self) -> list[RunRow]:
        """The runs that failed."""
        return [run for run in self.runs if run.status == "failed"]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kdcore": __version__,
            "name": self.directory.name,
            **asdict(self),
            "directory": str(self.directory),
            "confidence": CONFIDENCE,
            "interval": INTERVAL,
        }


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
    scores = {label: _scores(found, label, metric) for label in plan.labels}
    tests = {label: _test_scores(found, label, metric) for label in plan.labels}
    rows = []
    for label in plan.labels:
        own = [one for one in found if one.run.label == label]
        base = scores[plan.baseline] if plan.baseline is not None and plan.baseline != label else None
        test_base = None if base is None or plan.baseline is None else tests[plan.baseline]
        rows.append(
            replace(
                _method(label, own, scores[label], base, dropped.get(label), metric),
                test_score=mean(list(tests[label].values())),
                test_gain=paired_gain(tests[label], test_base) if test_base else None,
            )
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
        methods=tuple(rows),
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
            images_per_second=mean([record["images_per_second"] for record in self.records]),
            wall_seconds=self.summary.get("wall_seconds"),
            error=error,
            log=str(log) if log.exists() else None,
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
    scores: dict[int, float],
    base: dict[int, float] | None,
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
        gain=None if base is None else paired_gain(scores, base),
        test_gain=None,  # `gather` adds it
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
