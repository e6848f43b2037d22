"""The tuning's page, in the reports' style: one file that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kd_report.page import render

from kd_compare.tuning.plots import history_plot, importance_plot, parallel_plot

if TYPE_CHECKING:
    from kd_compare.tuning.result import TuneResult


def page(result: TuneResult) -> str:
    """The result as HTML."""
    plots = [history_plot(result), importance_plot(result), parallel_plot(result)]
    return render(
        "tuning.html",
        {
            "result": result,
            "name": result.directory.name,
            "best": result.best_trial,
            "rows": [
                (row, [short(row.values.get(path)) for path in result.space]) for row in result.ranked()
            ],
            "plots": [plot for plot in plots if plot is not None],
            "gain": final_gain(result),
            "short": short,
        },
        package="kd_compare",
    )


def short(value: Any) -> str:
    """A value with four digits."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def final_gain(result: TuneResult) -> str | None:
    """What the final comparison found, in a sentence; None if there is none."""
    if result.comparison is None:
        return None
    rows = {row.label: row for row in result.comparison.methods}
    tuned, default = rows["tuned"], rows["default"]
    tested = tuned.test_gain is not None
    gain = tuned.test_gain if tested else tuned.gain
    best, own = (row.test_score if tested else row.score for row in (tuned, default))
    if best is None or own is None or gain is None:
        return "The final comparison has no result: a run failed."
    half = "" if gain.half is None else f" ± {gain.half:.2f}"
    images = ", on the images of data.test_split" if tested else ""
    return (
        f"Over {gain.pairs} fresh seeds{images}: {best:.2f} with the tuned values, {own:.2f} with the spec's own; gain "
        f"{gain.mean:+.2f}{half} (95 % interval)."
    )
