"""Two models side by side for each class, and shares of a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore.commands.charts.svg import WIDTH, Scale, along, element, joined, svg, text, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

_ROW: Final = 19
_LETTERS: Final = 18
_LETTER: Final = 6.4  # units of width, about
_WRITTEN: Final = 14  # percent from which a part has room for its number


@dataclass(frozen=True)
class Pair:
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


def dumbbells(pairs: Sequence[Pair], *, label: str, x_label: str) -> Markup:
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


def _row(pair: Pair, y: float, x: Scale, left: float) -> Markup:
    told = f"{pair.name}: student {pair.student:.1f} %"
    parts = []
    if pair.teacher is not None:
        told += f", teacher {pair.teacher:.1f} %"
        parts.append(element("line", x1=x(pair.student), x2=x(pair.teacher), y1=y, y2=y, class_="link"))
        parts.append(diamond(x(pair.teacher), y, "dot teacher"))
    parts.append(element("circle", cx=x(pair.student), cy=y, r=4.2, class_="dot student"))
    name = text(left, y + 4, clipped(pair.name), anchor="end", class_="name")
    return element("g", element("title", told), name, *parts)


def diamond(x: float, y: float, class_: str, size: float = 5.2) -> Markup:
    """The teacher's mark: told from the student's by its shape too."""
    return element(
        "path", d=f"M{x:.1f} {y - size:.1f}l{size} {size}l{-size} {size}l{-size} {-size}z", class_=class_
    )


def shares(parts: Sequence[Share], *, label: str) -> Markup:
    """One bar whose parts make the whole; as high on a phone as on a desk."""
    total = sum(part.percent for part in parts) or 1.0
    drawn = []
    for part in parts:
        percent = 100 * part.percent / total
        if percent > 0:
            written = f"{part.percent:.1f}" if percent >= _WRITTEN else ""
            told = f"{part.name}: {part.percent:.1f} %"
            drawn.append(
                element("span", written, class_=part.class_, style=f"--p: {percent:.2f}%", title=told)
            )
    return element("div", *drawn, class_="shares", role="img", aria_label=label)


def room(names: Iterable[str], letters: int = _LETTERS) -> float:
    """Width that clipped names need."""
    return 10 + _LETTER * max((len(clipped(name, letters)) for name in names), default=0)


def clipped(name: str, letters: int = _LETTERS) -> str:
    """A name that is short enough to stand beside a chart."""
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"
