"""Values over epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore.commands.charts.svg import (
    WIDTH,
    Scale,
    across,
    along,
    element,
    joined,
    log_ticks,
    svg,
    text,
    ticks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_HEIGHT: Final = 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, WIDTH - 14, 24, _HEIGHT - 38
_FEW: Final = 16  # up to so many points each has a dot


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: what the legend calls it.
        points: (x, y); y is None where nothing was measured, and becomes None where it is NaN or infinite.
        class_: CSS class that gives colour and dashes.
        level: a single value that holds for all x, drawn from edge to edge.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    class_: str
    level: float | None = None

    def __post_init__(self) -> None:
        """Leave out numbers that no axis has."""
        object.__setattr__(self, "points", [(x, _finite(y)) for x, y in self.points])
        object.__setattr__(self, "level", _finite(self.level))

    @property
    def values(self) -> list[float]:
        """What is drawn."""
        found = [y for _, y in self.points if y is not None]
        return found if self.level is None else [*found, self.level]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def line_chart(lines: Sequence[Line], *, label: str, x_label: str, y_label: str, log: bool = False) -> Markup:
    """Curves on common axes; one point alone is a dot."""
    xs = [x for line in lines for x, y in line.points if y is not None] or [0.0]
    values = [value for line in lines for value in line.values] or [0.0]
    log = log and min(values) > 0
    marks = log_ticks(min(values), max(values)) if log else ticks(min(values), max(values))
    y = Scale(marks[0], marks[-1], _BOTTOM, _TOP, log)
    x = Scale(min(xs), max(xs), _LEFT + 4, _RIGHT - 4)
    epochs = [value for value in ticks(min(xs), max(xs), 6) if value == int(value) or max(xs) - min(xs) < 1]
    inside = [value for value in epochs if min(xs) <= value <= max(xs)] or sorted({min(xs), max(xs)})
    return svg(
        _HEIGHT,
        across(marks, y, _LEFT, _RIGHT),
        along(inside, x, _BOTTOM + 2),
        text((_LEFT + _RIGHT) / 2, _HEIGHT - 5, x_label, anchor="middle", class_="axis"),
        text(_LEFT - 38, 10, y_label, class_="axis"),
        joined(_draw(line, x, y) for line in lines),
        label=label,
    )


def _draw(line: Line, x: Scale, y: Scale) -> Markup:
    parts = []
    if line.level is not None:
        parts.append(element("line", x1=_LEFT, x2=_RIGHT, y1=y(line.level), y2=y(line.level)))
    path, pen = "", "M"
    for place, value in line.points:
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{x(place):.1f} {y(value):.1f}"
        pen = "L"
    known = [(place, value) for place, value in line.points if value is not None]
    if len(known) > 1:
        parts.append(element("path", d=path))
    if len(known) <= _FEW:
        parts += [element("circle", cx=x(place), cy=y(value), r=2.6) for place, value in known]
    return element("g", element("title", line.name), *parts, class_=f"line {line.class_}")
