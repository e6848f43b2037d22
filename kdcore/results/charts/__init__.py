"""Charts as inline SVG: no script, colours by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

from kdcore.results.charts.bars import Pair, Share, dumbbells, shares
from kdcore.results.charts.figure import figure, numbers
from kdcore.results.charts.lines import Line, line_chart
from kdcore.results.charts.matrix import matrix
from kdcore.results.charts.reliability import reliability
from kdcore.results.charts.scatter import Cloud, scatter

__all__ = [
    "Cloud",
    "Line",
    "Pair",
    "Share",
    "dumbbells",
    "figure",
    "line_chart",
    "matrix",
    "numbers",
    "reliability",
    "scatter",
    "shares",
]
