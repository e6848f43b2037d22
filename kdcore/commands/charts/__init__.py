"""Charts as inline SVG without scripts; `charts.css` has their colours for light and dark screens."""

from __future__ import annotations

from kdcore.commands.charts.bars import Share, StudentAndTeacher, dumbbells, shares
from kdcore.commands.charts.dots import DotRow, dot_plot
from kdcore.commands.charts.figure import figure, numbers
from kdcore.commands.charts.lines import Curve, line_chart
from kdcore.commands.charts.matrix import matrix
from kdcore.commands.charts.reliability import reliability
from kdcore.commands.charts.scatter import Cloud, scatter
from kdcore.commands.charts.styles import standalone, styles

__all__ = [
    "Cloud",
    "Curve",
    "DotRow",
    "Share",
    "StudentAndTeacher",
    "dot_plot",
    "dumbbells",
    "figure",
    "line_chart",
    "matrix",
    "numbers",
    "reliability",
    "scatter",
    "shares",
    "standalone",
    "styles",
]
