"""Charts as inline SVG without scripts; `charts.css` has their colours for light and dark screens."""

from __future__ import annotations

from kd_report.charts.bars import Share, StudentAndTeacher, dumbbells, shares
from kd_report.charts.dots import DotRow, dot_plot
from kd_report.charts.figure import figure, numbers
from kd_report.charts.lines import Curve, line_chart
from kd_report.charts.matrix import matrix
from kd_report.charts.panels import Panels
from kd_report.charts.reliability import reliability
from kd_report.charts.scatter import Cloud, scatter
from kd_report.charts.styles import standalone, styles
from kd_report.charts.svg import element, ticks

__all__ = [
    "Cloud",
    "Curve",
    "DotRow",
    "Panels",
    "Share",
    "StudentAndTeacher",
    "dot_plot",
    "dumbbells",
    "element",
    "figure",
    "line_chart",
    "matrix",
    "numbers",
    "reliability",
    "scatter",
    "shares",
    "standalone",
    "styles",
    "ticks",
]
