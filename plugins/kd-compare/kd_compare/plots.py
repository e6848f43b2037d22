"""The plots of a comparison: scores, gains, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.charts import Curve, DotRow, dot_plot, line_chart

from kd_compare.result import metric_label
from kdcore.inspect import is_percent, measure_label

if TYPE_CHECKING:
    from markupsafe import Markup

    from kd_compare.result import ComparisonResult


def scores_plot(result: ComparisonResult) -> Markup | None:
    """Mean score of each method with its standard deviation, and a point for each seed; None without scores."""
    rows, base = list[DotRow](), None
    for row in result.ranked():
        if row.score is None:
            continue
        runs = [run for run in result.runs if run.method == row.label and run.status == "finished"]
        spread = row.std
        rows.append(
            DotRow(
                name=row.label,
                mean=row.score,
                low=None if spread is None else row.score - spread,
                high=None if spread is None else row.score + spread,
                values=[score for run in runs if (score := run.value(result.metric)) is not None],
                written=f"{row.score:.2f}{' %' if is_percent(result.metric) else ''}",
            )
        )
        if row.label == result.baseline:
            base = row.score
    of_teacher = " with the teacher" if result.metric in ("agreement", "neighbour_agreement") else ""
    measure = f"{measure_label(result.metric)}{of_teacher}" + (" %" if is_percent(result.metric) else "")
    title = f"{measure}: mean, standard deviation, seeds"
    return dot_plot(rows, label=title, reference=base) if rows else None


def gains_plot(result: ComparisonResult) -> Markup | None:
    """Gain of each method over the baseline with its corrected confidence interval; None without gains."""
    rows = []
    for row in result.ranked():
        if row.gain is None:
            continue
        better = "clear" if row.gain.mean > 0 else "worse"
        rows.append(
            DotRow(
                name=row.label,
                mean=row.gain.mean,
                low=row.gain.corrected_low,
                high=row.gain.corrected_high,
                written=f"{row.gain.mean:+.2f}",
                class_=better if row.gain.clear else None,
            )
        )
    corrected = f" corrected for {result.compared} methods" if result.compared > 1 else ""
    title = f"gain over {result.baseline} in percent points, 95 % interval{corrected}"
    return dot_plot(rows, label=title, reference=0.0) if rows else None


def curves_plot(result: ComparisonResult) -> Markup | None:
    """Mean score after each epoch, a line for each method; a dropped method's line ends early. None without scores."""
    curves = []
    for number, row in enumerate(row for row in result.ranked() if result.curves.get(row.label)):
        base = row.label == result.baseline
        curves.append(
            Curve(
                row.label,
                list(enumerate(result.curves[row.label], 1)),
                "faint" if base else "",
                colour=None
                if base
                else f"hsl({number * 137 % 360} 65% 50%)",  # 137 degrees: neighbours differ
            )
        )
    measure = metric_label(result.metric)
    title = f"{measure} after each epoch, mean over the seeds"
    return (
        line_chart(curves, label=title, x_label="epoch", y_label=title, names_inside=True) if curves else None
    )
