"""The plots of a comparison: scores, gains, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts import Curve, DotRow, Panels, dot_plot, element, figure, line_chart, ticks

from kd_compare.result import metric_label
from kdcore.inspect import is_percent, measure_label

if TYPE_CHECKING:
    from markupsafe import Markup

    from kd_compare.result import ComparisonResult

_TOGETHER: Final = 8  # methods in one chart
_CLASSES: Final = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "ink")


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
    """Mean score after each epoch in one picture; None without scores.

    Up to eight methods have common axes; more have a small chart each. A dropped method's line ends early.
    """
    found = _panels(result)
    if found is not None:
        return found.picture()
    curves, title = _curves(result), _title(result)
    return (
        line_chart(curves, label=title, x_label="epoch", y_label=title, names_at_ends=True)
        if curves
        else None
    )


def curves_figure(result: ComparisonResult) -> Markup | None:
    """The curves of many methods as a card of a page, which places the small charts; None: they are few."""
    found = _panels(result)
    if found is None:
        return None
    legend = [("student", "the method"), ("area", "from the lowest to the highest method")]
    if found.reference is not None:
        legend.insert(1, ("faint", found.reference))
    note = "The number is the value after the method's last epoch. All charts have the same axes."
    chart = element("div", *found.charts(), class_="panels")
    return figure(found.label, chart, legend=legend, note=note, wide=True)


def _panels(result: ComparisonResult) -> Panels | None:
    curves = _curves(result)
    if len(curves) <= _TOGETHER:
        return None
    return Panels(
        curves=curves,
        label=_title(result),
        reference=result.baseline if result.curves.get(result.baseline or "") else None,
        written=[f"{result.curves[curve.name][-1]:.2f}" for curve in curves],
    )


def _title(result: ComparisonResult) -> str:
    low = _least(result)
    part = "" if low is None else f", from {low:g} on"
    return f"{metric_label(result.metric)} after each epoch, mean over the seeds{part}"


def _least(result: ComparisonResult) -> float | None:
    """The value from which on curves are drawn, if the second half of all of them needs less than half of their range.

    The first epochs would take most of the axis, and the methods would lie on each other. None: all values are drawn.
    """
    curves = [curve for curve in result.curves.values() if curve]
    if not curves:
        return None
    late = [value for curve in curves for value in curve[len(curve) // 2 :]]
    least, low, high = min(map(min, curves)), min(late), max(map(max, curves))
    return ticks(low, high)[0] if high - low < (high - least) / 2 else None


def _curves(result: ComparisonResult) -> list[Curve]:
    """A curve for each method, the highest mean first."""
    shown = [row.label for row in result.ranked() if result.curves.get(row.label)]
    least = _least(result)
    classes = iter(_CLASSES if len(shown) <= _TOGETHER else [""] * len(shown))
    return [
        Curve(
            label,
            [
                (epoch, value if least is None or value >= least else None)
                for epoch, value in enumerate(result.curves[label], 1)
            ],
            "faint" if label == result.baseline else next(classes),
        )
        for label in shown
    ]
