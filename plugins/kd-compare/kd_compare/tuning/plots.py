"""The plots of a tuning: history, importance, parallel coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from kd_report.charts import Curve, DotRow, dot_plot, line_chart

if TYPE_CHECKING:
    from markupsafe import Markup

    from kd_compare.tuning.result import TrialRow, TuneResult

_BEST: Final = 5  # trials with a name in the parallel coordinates


def history_plot(result: TuneResult) -> Markup | None:
    """The score of each trial, and the best so far; None without a finished trial."""
    done = [row for row in result.trials if row.status == "finished" and row.score is not None]
    if not done:
        return None
    better = min if result.minimize else max
    best, so_far = list[tuple[float, float | None]](), None
    for row in done:
        if row.feasible and row.score is not None:
            so_far = row.score if so_far is None else better(so_far, row.score)
        best.append((row.number, so_far))
    points: list[tuple[float, float | None]] = [(row.number, row.score) for row in done]
    curves = [Curve("each trial", points, "faint"), Curve("best so far", best, "student")]
    label = f"{result.objective}: each trial, and the best so far"
    return line_chart(curves, label=label, x_label="trial", y_label=label)


def importance_plot(result: TuneResult) -> Markup | None:
    """The importance of each searched value; None if there are too few trials."""
    rows = [
        DotRow(name=path, mean=100 * part, written=f"{100 * part:.0f} %")
        for path, part in result.importance.items()
    ]
    return dot_plot(rows, label="importance of each value, percent", reference=0.0) if rows else None


def parallel_plot(result: TuneResult) -> Markup | None:
    """A line for each trial through its values, each axis from its least to its greatest; the best ones in colour."""
    paths = list(result.space)
    rows = [row for row in result.ranked() if row.status in ("finished", "pruned")]
    if len(paths) < 2 or len(rows) < 2:
        return None
    axes = [_axis([row.values[path] for row in rows]) for path in paths]
    curves = []
    for place, row in reversed(list(enumerate(rows))):
        named = place < _BEST and row.status == "finished"
        points: list[tuple[float, float | None]] = [
            (number + 1, axis[_key(row.values[path])])
            for number, (path, axis) in enumerate(zip(paths, axes, strict=True))
        ]
        curves.append(
            Curve(
                f"trial {row.number}: {_score(row)}" if named else "",
                points,
                "" if named else "faint",
                colour=f"hsl({place * 67 % 360} 65% 45%)" if named else None,
            )
        )
    label = "values of the trials; axes: " + ", ".join(f"{n} {path}" for n, path in enumerate(paths, 1))
    return line_chart(
        [curve for curve in curves if curve.name] or curves,
        label=label,
        x_label="searched value",
        y_label="from its least to its greatest",
        names_inside=True,
    )


def _axis(values: list[Any]) -> dict[Any, float]:
    """Where each value lies between 0 and 1; numbers over a wide range on a logarithmic scale."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        log = low > 0 and high / low > 8
        place = math.log if log else float
        span = (place(high) - place(low)) or 1.0
        return {_key(value): (place(value) - place(low)) / span for value in values}
    known = sorted({_key(value) for value in values})
    return {value: number / max(1, len(known) - 1) for number, value in enumerate(known)}


def _key(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _score(row: TrialRow) -> str:
    return "" if row.score is None else f"{row.score:.4g}"
