"""The comparison's page, in the reports' style: one file that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_report.page import render

from kd_compare.cells import best, caption, cells, head, said
from kd_compare.plots import curves_plot, gains_plot, scores_plot
from kd_compare.tuning.page import short
from kdcore.inspect import is_percent

if TYPE_CHECKING:
    from kd_compare.result import ComparisonResult


def page(result: ComparisonResult) -> str:
    """The result as HTML."""
    plots = [gains_plot(result), scores_plot(result), curves_plot(result)]
    return render(
        "comparison.html",
        {
            "result": result,
            "name": result.directory.name,
            "head": head(result),
            "rows": [(row, cells(result, row), row.label == best(result)) for row in result.ranked()],
            "caption": caption(result),
            "percent": is_percent(result.metric),
            "encoders": result.metric in ("knn_top1", "neighbour_agreement"),
            "plots": [plot for plot in plots if plot is not None],
            "failures": result.failures(),
            "said": said,
            "short": short,
        },
        package="kd_compare",
    )
