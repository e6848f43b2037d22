"""The comparison's page, in the reports' style: one file that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.page import render

from kd_compare.about import about_method
from kd_compare.cells import best, caption, cells, gains, head, said
from kd_compare.plots import curves_figure, curves_plot, gains_plot, scores_plot
from kd_compare.tuning.page import short
from kdcore.inspect import is_percent
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult, MethodRow
    from kd_compare.statistics import Gain


def page(result: ComparisonResult) -> str:
    """The result as HTML."""
    ranked, plugins = result.ranked(), get_plugins()
    many = curves_figure(result)
    plots = [gains_plot(result), scores_plot(result), None if many else curves_plot(result)]
    return render(
        "comparison.html",
        {
            "result": result,
            "name": result.directory.name,
            "head": head(result),
            "rows": [(row, _cells(result, row), about_method(result, row, plugins)) for row in ranked],
            "first": ranked[0] if ranked and ranked[0].score is not None else None,
            "best": best(result),
            "caption": caption(result),
            "percent": is_percent(result.metric),
            "encoders": result.metric in ("knn_top1", "neighbour_agreement"),
            "plots": [plot for plot in plots if plot is not None],
            "many": many,
            "unreported": any(run.status == "finished" and run.report is None for run in result.runs),
            "failures": result.failures(),
            "said": said,
            "short": short,
        },
        package="kd_compare",
    )


def _class(gain: Gain | None) -> str:
    """The CSS class of a cell: a gain that is clear has a colour."""
    if gain is None or not gain.clear:
        return ""
    return "clear" if gain.mean > 0 else "worse"


def _cells(result: ComparisonResult, row: MethodRow) -> list[tuple[str, str]]:
    """Each cell of a method, with its CSS class."""
    return [(text, _class(gain)) for text, gain in zip(cells(result, row), gains(result, row), strict=True)]
