"""What a comparison found: a row for each method, made from the directories of its runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from kd_compare.lead import find_lead
from kd_compare.statistics import CONFIDENCE, INTERVAL, Gain, interval_text
from kdcore import __version__
from kdcore.inspect import is_percent, measure_label, teachers_of

if TYPE_CHECKING:
    from pathlib import Path

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
        intervals: 95 % confidence intervals of measures of a finished run's student, by drawing its evaluation images
            again: they say nothing of other seeds.
        images_per_second: trained, mean over its epochs.
        wall_seconds: training and evaluation, over all its processes in time.
        error: why it failed.
        log: the file with its output; None: there is none yet.
        report: the page of its report; None: there is none.
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
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    images_per_second: float | None = None
    wall_seconds: float | None = None
    error: str | None = None
    log: str | None = None
    report: str | None = None

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

    @property
    def compared(self) -> int:
        """How many methods are compared with the baseline: what the corrected intervals are corrected for."""
        return sum(row.gain is not None for row in self.methods)

    def scores(self, label: str) -> dict[int, float]:
        """The metric of a method's finished runs, by seed."""
        own = [run for run in self.runs if run.method == label and run.status == "finished"]
        return {run.seed: score for run in own if (score := run.value(self.metric)) is not None}

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
            "corrected_for": self.compared,
            "corrected_interval": interval_text(self.compared),
            "lead": None if (leading := find_lead(self)) is None else asdict(leading),
        }
