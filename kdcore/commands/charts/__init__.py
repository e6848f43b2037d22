"""Charts as inline SVG: no script, colours by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

from kdcore.commands.charts.bars import Pair, Share, dumbbells, shares
from kdcore.commands.charts.figure import figure, numbers
from kdcore.commands.charts.lines import Line, line_chart
from kdcore.commands.charts.matrix import matrix
from kdcore.commands.charts.reliability import reliability
from kdcore.commands.charts.scatter import Cloud, scatter

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
