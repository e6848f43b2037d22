"""Values over epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_report.charts.dots import WIDE
from kd_report.charts.svg import (
    WIDTH,
    Scale,
    across,
    along,
    clipped,
    element,
    joined,
    log_ticks,
    room,
    svg,
    text,
    ticks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_HEIGHT: Final = 236
_LETTERS: Final = 28  # of a name inside the chart
_LEGEND: Final = 16  # height of a name
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, WIDTH - 14, 24, _HEIGHT - 38
_FEW: Final = 16  # up to this number of points, each has a dot


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: what the legend calls it.
        points: (x, y); y is None if nothing was measured; NaN and infinity become None.
        class_: CSS class that gives colour and dashes.
        colour: instead of the colour of the class.
        level: one value for all x, drawn from edge to edge.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    class_: str
    level: float | None = None
    colour: str | None = None

    def __post_init__(self) -> None:
        """Leave out NaN and infinity."""
        object.__setattr__(self, "points", [(x, _finite(y)) for x, y in self.points])
        object.__setattr__(self, "level", _finite(self.level))

    @property
    def values(self) -> list[float]:
        """The values that are drawn."""
        found = [y for _, y in self.points if y is not None]
        return found if self.level is None else [*found, self.level]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def line_chart(
    lines: Sequence[Curve],
    *,
    label: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    names_inside: bool = False,
) -> Markup:
    """Curves on common axes; a single point is a dot. With `names_inside`, a wider chart has its own legend."""
    right = WIDE - room((line.name for line in lines), _LETTERS) - 26 if names_inside else float(_RIGHT)
    height = max(_HEIGHT, _TOP + _LEGEND * len(lines) + 8) if names_inside else _HEIGHT
    bottom = height - (_HEIGHT - _BOTTOM)
    xs = [x for line in lines for x, y in line.points if y is not None] or [0.0]
    values = [value for line in lines for value in line.values] or [0.0]
    log = log and min(values) > 0
    marks = log_ticks(min(values), max(values)) if log else ticks(min(values), max(values))
    y = Scale(marks[0], marks[-1], bottom, _TOP, log)
    x = Scale(min(xs), max(xs), _LEFT + 4, right - 4)
    epochs = [value for value in ticks(min(xs), max(xs), 6) if value == int(value) or max(xs) - min(xs) < 1]
    inside = [value for value in epochs if min(xs) <= value <= max(xs)] or sorted({min(xs), max(xs)})
    return svg(
        height,
        across(marks, y, _LEFT, right),
        along(inside, x, bottom + 2),
        text((_LEFT + right) / 2, height - 5, x_label, anchor="middle", class_="axis"),
        text(_LEFT - 38, 10, y_label, class_="axis"),
        joined(_draw(line, x, y) for line in lines),
        *(_key(line, right + 8, _TOP + 6 + _LEGEND * i) for i, line in enumerate(lines) if names_inside),
        label=label,
        width=WIDE if names_inside else WIDTH,
    )


def _key(line: Curve, left: float, y: float) -> Markup:
    mark = element("line", x1=left, x2=left + 14, y1=y, y2=y)
    name = text(left + 18, y + 4, clipped(line.name, _LETTERS))
    return element("g", mark, class_=f"line {line.class_}".rstrip(), style=_style(line)) + name


def _style(line: Curve) -> str | None:
    return None if line.colour is None else f"--c: {line.colour}"


def _draw(line: Curve, x: Scale, y: Scale) -> Markup:
    parts = []
    if line.level is not None:
        parts.append(element("line", x1=x.start - 4, x2=x.end + 4, y1=y(line.level), y2=y(line.level)))
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
    return element(
        "g", element("title", line.name), *parts, class_=f"line {line.class_}".rstrip(), style=_style(line)
    )
