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
    if tuned.score is None or default.score is None or tuned.gain is None:
        return "The final comparison has no result: a run failed."
    half = "" if tuned.gain.half is None else f" ± {tuned.gain.half:.2f}"
    return (
        f"Over {tuned.gain.pairs} fresh seeds: {tuned.score:.2f} with the tuned values, {default.score:.2f} with the "
        f"spec's own; gain {tuned.gain.mean:+.2f}{half} (95 % interval)."
    )
