"""A matrix as shades: a rectangle for each value where they are few, one picture where they are many."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from kd_report.charts.colours import STUDENT, TEACHER, rgb
from kd_report.charts.svg import WIDTH, clipped, element, joined, room, svg, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup
    from numpy.typing import NDArray

CELLS: Final = 30  # classes up to which each value is a rectangle of its own
_WRITTEN: Final = 12  # and up to which it is written into it
_POSITIVE, _NEGATIVE = rgb(STUDENT), rgb(TEACHER)
_GAP: Final = 0.06
_LETTERS: Final = 11
_LETTERS_ACROSS: Final = 28.0  # width of names that stand upright over their columns
_SMALL: Final = 12.0


def matrix(
    values: NDArray[np.float64],
    *,
    label: str,
    names: Sequence[str],
    largest: float,
    rows: str,
    columns: str,
    write: Callable[[float], str] | None = None,
    empty: NDArray[np.bool_] | None = None,
) -> Markup:
    """Values `[K, K]` from -largest to largest; the hue is the sign, the strength the size.

    Args:
        values: the matrix.
        label: for screen readers.
        names: of the classes.
        largest: the size of full strength.
        rows: what the rows are.
        columns: what the columns are.
        write: gives a value as text, used if there is room.
        empty: rows `[K]` without a value.
    """
    size = len(values)
    strength = np.clip(np.abs(values) / (largest or 1.0), 0, 1)
    named = room(names, _LETTERS) if size <= CELLS else 6.0
    upright = named <= _LETTERS_ACROSS
    left, top = 20 + named, 20 + (14 if upright and size <= CELLS else named)
    side = WIDTH - left - 4
    cell = side / size
    axes = _axes(left + side / 2, top + side / 2, rows, columns)
    if size > CELLS:
        frame = element("rect", x=left, y=top, width=side, height=side, class_="frame")
        return svg(
            top + side + 4, *axes, frame, _picture(values, strength, left, top, side, label), label=label
        )
    label_class = "tick" if cell >= _SMALL else "tick small"
    drawn = []
    for row in range(size):
        y = top + row * cell
        name, middle = clipped(names[row], _LETTERS), left + row * cell + cell / 2
        drawn.append(text(left - 5, y + cell / 2 + 3.5, name, anchor="end", class_=label_class))
        if upright:
            drawn.append(text(middle, top - 5, name, anchor="middle", class_=label_class))
        else:
            turned = f"translate({middle + 3.5:.1f} {top - 5:.1f}) rotate(-90)"
            drawn.append(element("text", name, transform=turned, class_=label_class))
        for column in range(size):
            drawn.append(
                _cell(
                    values, strength, row, column, left, y, cell, names, write if size <= _WRITTEN else None
                )
            )
    if empty is not None:
        drawn += [
            text(left + side / 2, top + row * cell + cell / 2 + 3.5, "no images", anchor="middle")
            for row in np.flatnonzero(empty)
        ]
    return svg(top + side + 4, *axes, joined(drawn), label=label)


def _axes(across: float, down: float, rows: str, columns: str) -> list[Markup]:
    """The names of both axes, at the middle of each."""
    upright = {"text_anchor": "middle", "class_": "axis", "transform": "rotate(-90)"}
    return [
        text(across, 11, columns, anchor="middle", class_="axis"),
        element("text", rows, x=-down, y=11, **upright),
    ]


def _cell(
    values: NDArray[np.float64],
    strength: NDArray[np.float64],
    row: int,
    column: int,
    left: float,
    y: float,
    cell: float,
    names: Sequence[str],
    write: Callable[[float], str] | None,
) -> Markup:
    value, strong = float(values[row, column]), float(strength[row, column])
    x = left + column * cell
    told = element("title", f"{names[row]}, {names[column]}: {value:.3g}")
    parts = [
        element(
            "rect",
            told,
            x=x + cell * _GAP / 2,
            y=y + cell * _GAP / 2,
            width=cell * (1 - _GAP),
            height=cell * (1 - _GAP),
            class_="cell minus" if value < 0 else "cell plus",
            fill_opacity=max(0.035, strong),
        )
    ]
    content = write(value) if write is not None else ""
    if content:
        parts.append(
            text(
                x + cell / 2,
                y + cell / 2 + 3,
                content,
                anchor="middle",
                class_=f"in {_band(strong)}" + (" minus" if value < 0 else ""),
            )
        )
    return joined(parts)


def _band(strong: float) -> str:
    """How strong a shade is, which says whether light or dark letters are read on it."""
    return "weak" if strong <= 0.62 else "middle" if strong <= 0.88 else "strong"


def _picture(
    values: NDArray[np.float64],
    strength: NDArray[np.float64],
    left: float,
    top: float,
    side: float,
    label: str,
) -> Markup:
    # colour by sign and strength by transparency: it lies well on light and dark
    pixels = np.zeros((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((values < 0)[..., None], _NEGATIVE, _POSITIVE)
    pixels[..., 3] = (255 * strength).round()
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return element(
        "image",
        element("title", label),
        href=f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}",
        x=left,
        y=top,
        width=side,
        height=side,
        class_="pixels",
        preserveAspectRatio="none",
    )
