"""The comparison's page, in the reports' style: one file that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from kdcore.commands.compare.plots import STYLE, curves_svg, gains_svg, scores_svg
from kdcore.commands.compare.table import best, caption, cells, head
from kdcore.commands.report.page import render

if TYPE_CHECKING:
    from kdcore.commands.compare.result import ComparisonResult


def page(result: ComparisonResult) -> str:
    """The result as HTML."""
    plots = [gains_svg(result), scores_svg(result), curves_svg(result)]
    return render(
        "comparison.html",
        {
            "result": result,
            "name": result.directory.name,
            "head": head(result),
            "rows": [(row, cells(result, row), row.label == best(result)) for row in result.ranked()],
            "caption": caption(result),
            "plots": [Markup(plot) for plot in plots if plot],  # noqa: S704  # made here, texts escaped
            "plot_style": Markup(STYLE),  # noqa: S704  # the project's own
            "failures": result.failures(),
        },
    )
