"""A table of measures with their intervals, which sections share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.charts import figure, numbers
from kdcore.inspect import measure_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup

    from kdcore.inspect import Scores


def measures_figure(models: Mapping[str, Scores], title: str, *, without: tuple[str, ...] = ()) -> Markup:
    """The overall measures of each model.

    Args:
        models: the measures by model; the first one says which there are.
        title: of the figure.
        without: measures that are left out.
    """
    first = next(iter(models.values()))
    rows = [
        (measure_label(name), *(_with_interval(scores, name) for scores in models.values()))
        for name in first.overall
        if name not in without
    ]
    header = ("measure", *(f"{who}, %" for who in models))
    return figure(
        title,
        numbers(header, rows, caption=title),
        note="In brackets the 95 % confidence interval: the images are drawn again with replacement.",
    )


def _with_interval(scores: Scores, name: str) -> str | None:
    value, ends = scores.overall.get(name), scores.intervals.get(name)
    if value is None:
        return None
    return f"{value:.2f}" + ("" if ends is None else f" ({ends[0]:.1f} to {ends[1]:.1f})")
