"""The parts that charts share: elements, scales, ticks, axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH: Final = 360  # of every chart in its own units; a page stretches it to its column
_TINY: Final = 1e-300  # smaller parts have no logarithm
LETTERS: Final = 18
_LETTER: Final = 6.4  # mean width of a letter
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An element; text and attributes are escaped.

    `class_` is written `class`, `_` is written `-`, and an attribute that is None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704  # every part is escaped


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("").join(parts)


def svg(height: float, *children: Markup, label: str, width: float = WIDTH) -> Markup:
    """A chart that fills its column; `label` is for screen readers."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {short(width)} {short(height)}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def text(x: float, y: float, content: str, *, anchor: str = "start", class_: str = "tick") -> Markup:
    """A line of text whose baseline is at y."""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def short(value: object) -> object:
    """A number with two decimals at most; anything else as it is."""
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if value == "-0" else value
    return value


@dataclass(frozen=True)
class Scale:
    """From values to places, linear or logarithmic; a value outside gets the place of the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from `low` or below it to `high` or above it, about `wanted` of them."""
    size = max(abs(low), abs(high))
    # ticks have 12 digits: in a smaller range several would be the same number
    if not high - low > max(_TINY, 1e-10 * size):
        pad = 0.5 * (size if size > _TINY else 1)
        low, high = low - pad, high + pad
    rough = (high - low) / max(1, wanted - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in _STEPS if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around positive numbers, with 2 and 5 between them if there are few."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    found = [factor * 10.0**power for power in range(first, last) for factor in factors]
    found.append(10.0**last)
    inside = [value for value in found if value >= low * 0.999]
    below = [value for value in found if value < low * 0.999][-1:]
    upto = next((index for index, value in enumerate(inside) if value >= high * 0.999), len(inside) - 1)
    return below + inside[: upto + 1]


def label_of(value: float) -> str:
    """A tick's number, short."""
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.6g}"


def across(values: Sequence[float], scale: Scale, left: float, right: float) -> Markup:
    """Horizontal grid lines with their numbers on the left."""
    return joined(
        element("line", x1=left, x2=right, y1=scale(value), y2=scale(value), class_="grid")
        + text(left - 6, scale(value) + 3.5, label_of(value), anchor="end")
        for value in values
    )


def along(values: Sequence[float], scale: Scale, bottom: float, top: float | None = None) -> Markup:
    """Numbers under the horizontal axis; with `top` given, vertical grid lines too."""
    lines = () if top is None else values
    return joined(
        element("line", x1=scale(value), x2=scale(value), y1=top, y2=bottom, class_="grid") for value in lines
    ) + joined(text(scale(value), bottom + 15, label_of(value), anchor="middle") for value in values)


def room(names: Iterable[str], letters: int = LETTERS) -> float:
    """Width for names, clipped to this number of letters."""
    return 10 + _LETTER * max((len(clipped(name, letters)) for name in names), default=0)


def clipped(name: str, letters: int = LETTERS) -> str:
    """A name with at most this number of letters, for a place next to a chart; what is not UTF-8 has escapes."""
    name = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"
