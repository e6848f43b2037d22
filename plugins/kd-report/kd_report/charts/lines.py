"""Values over epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
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
    names_at_ends: bool = False,
) -> Markup:
    """Curves on common axes; a single point is a dot.

    Args:
        lines: the curves.
        label: for screen readers.
        x_label: below the horizontal axis.
        y_label: above the vertical axis.
        log: the vertical axis is logarithmic, if all values are positive.
        names_inside: a wider chart has its own legend.
        names_at_ends: each name stands at the end of its curve. If a curve ends before the others, it is as with
            `names_inside`.
    """
    names_inside = names_inside or names_at_ends
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
    at_ends = _names_at_ends(lines, x, y) if names_at_ends else None
    if at_ends is None:
        at_ends = joined(_key(line, right + 8, _TOP + 6 + _LEGEND * i) for i, line in enumerate(lines))
    return svg(
        height,
        across(marks, y, _LEFT, right),
        along(inside, x, bottom + 2),
        text((_LEFT + right) / 2, height - 5, x_label, anchor="middle", class_="axis"),
        text(_LEFT - 38, 10, y_label, class_="axis"),
        joined(draw_curve(line, x, y) for line in lines),
        *([at_ends] if names_inside else []),
        label=label,
        width=WIDE if names_inside else WIDTH,
    )


def _key(line: Curve, left: float, y: float) -> Markup:
    mark = element("path", d=f"M{left:.1f} {y:.1f}H{left + 14:.1f}")  # a path has the dashes of its curve
    name = text(left + 18, y + 4, clipped(line.name, _LETTERS))
    return element("g", mark, class_=f"line {line.class_}".rstrip(), style=_style(line)) + name


def _names_at_ends(lines: Sequence[Curve], x: Scale, y: Scale) -> Markup | None:
    """A name for each curve, right of its last point; None: a curve ends before the others."""
    ends = [[(place, value) for place, value in line.points if value is not None][-1:] for line in lines]
    last = [end[0] for end in ends if end]
    if len(last) < len(lines) or len({place for place, _ in last}) != 1:
        return None
    heights = [y(value) for _, value in last]
    free = spread(heights, _LEGEND - 2, _TOP, y.start)
    parts = []
    for line, height, own in zip(lines, heights, free, strict=True):
        link = element("path", d=f"M{x.end:.1f} {height:.1f}L{x.end + 18:.1f} {own:.1f}", class_="leader")
        parts.append(element("g", link, class_=f"line {line.class_}".rstrip(), style=_style(line)))
        parts.append(text(x.end + 22, own + 4, clipped(line.name, _LETTERS)))
    return joined(parts)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart, from `low` to `high`, as near to the given ones as possible.

    Their order stays. Without the gaps they have to increase, so this is isotonic regression, by pooling neighbours. If
    there is too little room, the gap is smaller.
    """
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    room_left = high - low - gap * (len(places) - 1)
    order = sorted(range(len(places)), key=places.__getitem__)
    pools = list[list[float]]()
    for rank, index in enumerate(order):
        pool = [places[index] - gap * rank]
        while pools and fmean(pools[-1]) > fmean(pool):
            pool = pools.pop() + pool
        pools.append(pool)
    starts = [min(max(fmean(pool), low), low + room_left) for pool in pools for _ in pool]
    found = dict(zip(order, starts, strict=True))
    ranks = {index: rank for rank, index in enumerate(order)}
    return [found[index] + gap * ranks[index] for index in range(len(places))]


def _style(line: Curve) -> str | None:
    return None if line.colour is None else f"--c: {line.colour}"


def draw_curve(line: Curve, x: Scale, y: Scale) -> Markup:
    """A curve, without axes."""
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
