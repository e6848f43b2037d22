"""A row for each name: a mean, an interval around it, and the single values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_report.charts.svg import Scale, along, clipped, element, joined, room, svg, text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

WIDE: Final = 480
"""Width of a chart with long names; its letters become smaller on a page."""
_ROW: Final = 22.0
_LETTERS: Final = 28
_TOP: Final = 22.0


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """One row; all values in the unit of the axis.

    Attributes:
        name: on the left.
        mean: the large dot.
        low: lower end of the interval; None: there is no interval.
        high: upper end of the interval.
        values: the small dots.
        written: the mean as text, on the right.
        class_: CSS class that gives the colour.
    """

    name: str
    mean: float
    low: float | None = None
    high: float | None = None
    values: Sequence[float] = ()
    written: str = ""
    class_: str | None = None

    @property
    def drawn(self) -> list[float]:
        """All values that need room on the axis."""
        return [value for value in (self.mean, self.low, self.high, *self.values) if value is not None]


def dot_plot(rows: Sequence[DotRow], *, label: str, reference: float | None = None) -> Markup:
    """Rows on a common axis; `reference` is a vertical line, `label` the title."""
    drawn = [value for row in rows for value in row.drawn] + ([] if reference is None else [reference])
    marks = ticks(min(drawn), max(drawn), 6)
    left, right = room((row.name for row in rows), _LETTERS) + 4, WIDE - 56.0
    bottom = _TOP + _ROW * len(rows)
    x = Scale(marks[0], marks[-1], left, right)
    parts = [text(0, 12, label), along(marks, x, bottom, _TOP)]
    if reference is not None:
        at = x(reference)
        parts.append(element("line", x1=at, x2=at, y1=_TOP, y2=bottom, class_="zero"))
    parts += [_row(row, _TOP + _ROW * (number + 0.5), x) for number, row in enumerate(rows)]
    return svg(bottom + 22, *parts, label=label, width=WIDE)


def _row(row: DotRow, y: float, x: Scale) -> Markup:
    parts = [element("title", f"{row.name} {row.written}")]
    if row.low is not None and row.high is not None:
        parts.append(element("line", x1=x(row.low), x2=x(row.high), y1=y, y2=y, class_="whisker"))
    parts += [element("circle", cx=x(value), cy=y, r=3, class_="seed") for value in row.values]
    parts.append(element("circle", cx=x(row.mean), cy=y, r=4, class_="mean"))
    parts.append(text(x.end + 8, y + 4, row.written.removesuffix(" %")))
    name = text(x.start - 8, y + 4, clipped(row.name, _LETTERS), anchor="end", class_="name")
    return name + element("g", joined(parts), class_=row.class_)
