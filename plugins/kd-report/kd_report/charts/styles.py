"""The styles of charts, for a page that has some, and for a chart as a file of its own."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from markupsafe import Markup

_ALONE: Final = "svg { background: var(--card); font-family: system-ui, sans-serif; }"
_NOTHING: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'


@cache
def styles() -> Markup:
    """Colours and rules of all charts, as CSS."""
    text = files("kd_report.charts").joinpath("charts.css").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # the project's own file


def standalone(chart: Markup | None) -> str:
    """An SVG file of a chart, with its styles; None: an empty picture."""
    if chart is None:
        return _NOTHING
    head, mark, rest = str(chart).partition(">")
    named = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}{mark}<style>{styles()}{_ALONE}</style>{rest}\n"
