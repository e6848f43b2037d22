"""Draws docs/floors.svg, the floors of kdcore, from the list in docs/design.md; docs/generate.py calls it."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

DESIGN: Final = Path(__file__).parent / "design.md"
_LIST: Final = re.compile(r"^```text\n(plugin .*?)^```$", re.MULTILINE | re.DOTALL)
_WIDTH, _ROW, _GAP = 900, 34, 6
_LEFT, _PLUGINS = 40, 170  # of the floors; width of the box of the plugins
# every text stands in a box with a colour of its own, so that it can be read on a light and on a dark page
_PARTS: Final = {  # the first floor of each part, its colour, and what the part is for
    "plugin": "#3b5b92",
    "builtin": "#3b5b92",
    "run": "#2f6f5e",
    "models": "#7a4f8c",
    "hookspecs": "#5a6270",
}
_OUTSIDE, _GREY = "#8a5a1f", "#808080"


class Row(NamedTuple):
    """Floors that stand next to each other, and what is in each."""

    floors: tuple[str, ...]
    contents: tuple[str, ...]


def rows(page: str) -> list[Row]:
    """The list of floors in the page, the top floor first."""
    found = _LIST.search(page)
    if found is None:
        raise SystemExit("docs/design.md has no list of floors: a text block that begins with 'plugin'")
    return [_row(line) for line in found[1].splitlines()]


def _row(line: str) -> Row:
    names = re.match(r"\w+(?: \| \w+)*", line)
    assert names is not None, line
    contents = line[names.end() :].strip().split(" | ")
    return Row(tuple(names[0].split(" | ")), tuple(contents))


def draw(found: list[Row]) -> str:
    """The picture: one box for each floor, the plugins at their side, and the way that imports go."""
    height = len(found) * (_ROW + _GAP) + _GAP
    width = _WIDTH - _LEFT - _PLUGINS - 2 * _GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#ffffff">',
        "<title>The floors of kdcore: each imports only from itself and from those below</title>",
    ]
    colour = _GREY
    for number, row in enumerate(found):
        colour = _PARTS.get(row.floors[0], colour)
        y = _GAP + number * (_ROW + _GAP)
        each = (width - _GAP * (len(row.floors) - 1)) / len(row.floors)
        for place, floor in enumerate(row.floors):
            about = row.contents[0] if len(row.floors) == 1 else ""
            lines += _box(_LEFT + place * (each + _GAP), y, each, _ROW, colour, floor, about)
    lines += _arrow(height)
    x = _WIDTH - _PLUGINS
    lines += _box(x, _GAP, _PLUGINS, height - 2 * _GAP, _OUTSIDE, "plugins/kd-*", "")
    below = (
        "algorithms and",
        "feature adapters;",
        "they import kdcore,",
        "kdcore finds them",
        "through entry points",
    )
    lines += [
        f'<text x="{x + 12}" y="{height / 2 + 24 + 18 * at}">{escape(text)}</text>'
        for at, text in enumerate(below)
    ]
    return "\n".join([*lines, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, colour: str, name: str, about: str) -> list[str]:
    middle = y + height / 2 + 4
    lines = [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{colour}"/>']
    lines.append(f'<text x="{x + 12:g}" y="{middle:g}" font-weight="bold">{escape(name)}</text>')
    if about:
        lines.append(f'<text x="{x + 120:g}" y="{middle:g}" font-size="11">{escape(about)}</text>')
    return lines


def _arrow(height: float) -> list[str]:
    x, end = _LEFT / 2, height - _GAP
    return [
        f'<path d="M{x} {_GAP} V{end - 8} M{x - 6} {end - 10} L{x} {end} L{x + 6} {end - 10}" '
        f'fill="none" stroke="{_GREY}" stroke-width="2"/>',
        f'<text transform="translate({x - 6} {height / 2 + 24}) rotate(-90)" fill="{_GREY}">imports</text>',
    ]


def picture() -> str:
    """The picture of the list in docs/design.md."""
    return draw(rows(DESIGN.read_text("utf-8")))
