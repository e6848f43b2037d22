"""The table as text: its columns, a cell for each method, and the caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_compare.lead import find_lead
from kd_compare.result import beside, metric_label
from kd_compare.statistics import interval_text
from kdcore.plugin import clock

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult, MethodRow, RunRow
    from kd_compare.statistics import Gain

HEAD: Final = (
    "method",
    "top-1 %",
    "gain",
    "agreement %",
    "images/s",
    "extra parameters",
    "time of a run",
    "runs",
)
NONE: Final = "n/a"
ONE_SEED: Final = " (one seed: no interval)"  # not in LaTeX: its columns are narrow, its caption says so


def said(run: RunRow) -> str:
    """Why a run failed, and where its output is."""
    return f"{run.error}{f' (its output: {run.log})' if run.log else ''}"


def tuned_with(result: ComparisonResult) -> str:
    """The budget of the tunings that the methods got first; empty: they got none."""
    if result.tuned is None:
        return ""
    one = result.tuned
    trials = "trial" if one["trials"] == 1 else "trials"
    return (
        f"Before, each method was tuned with {one['trials']} {trials} of seed {one['seed']} (sampler {one['sampler']}, "
        f"sampler seed {one['sampler_seed']})."
    )


def head(result: ComparisonResult) -> tuple[str, ...]:
    """The columns' names."""
    gain = f"gain over {result.baseline}" if result.baseline else "gain"
    second = beside(result.metric)
    named = [] if second is None else [metric_label(second)]
    return (
        "method",
        metric_label(result.metric),
        gain,
        *named,
        *([f"test {metric_label(result.metric)}"] if tested(result) else []),
        *([f"test {gain}"] if has_test_gains(result) else []),
        *HEAD[4:],
    )


def tested(result: ComparisonResult) -> bool:
    """Whether students were tested on `data.test_split`."""
    return any(row.test_score is not None for row in result.methods)


def has_test_gains(result: ComparisonResult) -> bool:
    """Whether a method has a gain on `data.test_split`."""
    return any(row.test_gain is not None for row in result.methods)


def cells(result: ComparisonResult, row: MethodRow) -> list[str]:
    """A method's row as text."""
    second = beside(result.metric)
    return [
        row.label,
        score(row),
        gain(result, row, row.gain),
        *([] if second is None else [number(getattr(row, second))]),
        *([number(row.test_score)] if tested(result) else []),
        *([gain(result, row, row.test_gain)] if has_test_gains(result) else []),
        number(row.images_per_second, 0),
        NONE if row.extra_parameters is None else f"{row.extra_parameters:,}",
        NONE if row.wall_seconds is None else clock(row.wall_seconds),
        state(row),
    ]


def gains(result: ComparisonResult, row: MethodRow) -> list[Gain | None]:
    """For each cell of a method's row, the gain that it shows; None: it shows none."""
    found: list[Gain | None] = [None] * len(head(result))
    found[2] = row.gain
    if has_test_gains(result):
        found[-len(HEAD[4:]) - 1] = row.test_gain
    return found


def score(row: MethodRow) -> str:
    """Mean and standard deviation."""
    if row.score is None:
        return NONE
    return f"{row.score:.2f}" + ("" if row.std is None else f" ± {row.std:.2f}")


def gain(result: ComparisonResult, row: MethodRow, found: Gain | None) -> str:
    """A method's mean difference, and half the width of its corrected interval."""
    if row.label == result.baseline:
        return "baseline"
    if found is None:
        return NONE
    half = found.corrected_half
    return f"{found.mean:+.2f}" + (ONE_SEED if half is None else f" ± {half:.2f}")


def state(row: MethodRow) -> str:
    """How many runs are done, and what became of the others."""
    count = f"{row.finished}/{row.runs}"
    if row.dropped_after is None:
        return count
    at = "" if row.dropped_at is None else f" at {row.dropped_at:.2f}"
    return f"dropped after epoch {row.dropped_after}{at}"


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated."""
    return NONE if value is None else f"{value:,.{digits}f}"


def best(result: ComparisonResult) -> str | None:
    """The label of the best method; None: no method is clearly better than all others."""
    found = find_lead(result)
    return None if found is None else found.best


def lead_text(result: ComparisonResult) -> str:
    """Which method has the highest mean, and which ones do not differ clearly from it; empty: nothing to say."""
    found = find_lead(result)
    if found is None or not found.others:
        return ""
    if len(result.seeds) < 2:
        return "Without intervals, no method is shown as the best."
    corrected = f" (intervals corrected for {found.others} methods)" if found.others > 1 else ""
    if found.best is not None:
        return (
            f"{found.highest} has the highest mean, and differs clearly from every other method{corrected}."
        )
    if len(found.unclear) == found.others > 1:
        said = "no other method differs clearly from it"
    else:
        *first, last = found.unclear
        names = f"{', '.join(first)} and {last} do" if first else f"{last} does"
        said = f"{names} not differ clearly from it"
    return f"{found.highest} has the highest mean; {said}{corrected}."


def caption(result: ComparisonResult) -> str:
    """What the numbers are, in a sentence or two."""
    count = len(result.seeds)
    text = f"Mean ± standard deviation over {count} seeds" if count > 1 else "One seed"
    if result.baseline and count > 1:
        text += f"; gain over {result.baseline}: {interval_text(result.compared)}"
    if result.budget:
        rungs = ", ".join(map(str, result.budget["rungs"]))
        text += f". Budget: 1/{result.budget['eta']} of the methods continue after epoch {rungs} of {result.epochs}"
    return " ".join(filter(None, (f"{text}.", lead_text(result), tuned_with(result))))
