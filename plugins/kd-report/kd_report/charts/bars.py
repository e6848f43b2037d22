"""Two models side by side for each class, and shares of a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_report.charts.svg import WIDTH, Scale, along, clipped, element, joined, room, svg, text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_ROW: Final = 19
_WRITTEN: Final = 14  # smallest percentage with room for its number


@dataclass(frozen=True)
class StudentAndTeacher:
    """One row: a name and the values of student and teacher, in percent; the teacher's None without one."""

    name: str
    student: float
    teacher: float | None


@dataclass(frozen=True)
class Share:
    """A part of a whole, in percent."""

    name: str
    percent: float
    class_: str


def dumbbells(pairs: Sequence[StudentAndTeacher], *, label: str, x_label: str) -> Markup:
    """A row for each pair: both values on one line, joined."""
    values = [value for pair in pairs for value in (pair.student, pair.teacher) if value is not None]
    marks = [value for value in ticks(min(values, default=0), max(values, default=100)) if 0 <= value <= 100]
    bottom = len(pairs) * _ROW + 8
    left = room(pair.name for pair in pairs)
    x = Scale(marks[0], marks[-1], left + 10, WIDTH - 14)
    rows = joined(_row(pair, index * _ROW + 16, x, left) for index, pair in enumerate(pairs))
    return svg(
        bottom + 36,
        along(marks, x, bottom, 4),
        rows,
        text((left + WIDTH) / 2, bottom + 32, x_label, anchor="middle", class_="axis"),
        label=label,
    )


def _row(pair: StudentAndTeacher, y: float, x: Scale, left: float) -> Markup:
    said = f"{pair.name}: student {pair.student:.1f} %"
    parts = []
    if pair.teacher is not None:
        said += f", teacher {pair.teacher:.1f} %"
        parts.append(element("line", x1=x(pair.student), x2=x(pair.teacher), y1=y, y2=y, class_="link"))
        parts.append(diamond(x(pair.teacher), y, "dot teacher"))
    parts.append(element("circle", cx=x(pair.student), cy=y, r=4.2, class_="dot student"))
    name = text(left, y + 4, clipped(pair.name), anchor="end", class_="name")
    return element("g", element("title", said), name, *parts)


def diamond(x: float, y: float, class_: str, size: float = 5.2) -> Markup:
    """The teacher's mark: its shape, not only its colour, differs from the student's."""
    return element(
        "path", d=f"M{x:.1f} {y - size:.1f}l{size} {size}l{-size} {size}l{-size} {-size}z", class_=class_
    )


def shares(parts: Sequence[Share], *, label: str) -> Markup:
    """One bar of all parts; its height does not depend on the width of the screen."""
    total = sum(part.percent for part in parts) or 1.0
    drawn = []
    for part in parts:
        percent = 100 * part.percent / total
        if percent > 0:
            written = f"{part.percent:.1f}" if percent >= _WRITTEN else ""
            said = f"{part.name}: {part.percent:.1f} %"
            drawn.append(
                element("span", written, class_=part.class_, style=f"--p: {percent:.2f}%", title=said)
            )
    return element("div", *drawn, class_="shares", role="img", aria_label=label)
