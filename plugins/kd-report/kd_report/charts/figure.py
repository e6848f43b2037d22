"""A chart with its title, legend, note, and the numbers behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markupsafe import Markup

from kd_report.charts.svg import element, joined

if TYPE_CHECKING:
    from collections.abc import Sequence


_SHORT = 12  # characters that a column has room for


def figure(
    title: str,
    chart: Markup,
    *,
    legend: Sequence[tuple[str, str]] = (),
    note: str | None = None,
    table: Markup | None = None,
    wide: bool = False,
) -> Markup:
    """A chart as a card.

    Args:
        title: what it shows.
        chart: the drawing.
        legend: CSS class of a mark, and what it stands for.
        note: a sentence on how to read it or what was left out.
        table: the numbers behind it, folded away.
        wide: it takes the whole width.
    """
    parts = [element("figcaption", title)]
    if legend:
        parts.append(element("ul", *(_key(class_, label) for class_, label in legend), class_="legend"))
    parts.append(chart)
    if note:
        parts.append(element("p", note, class_="note"))
    if table is not None:
        parts.append(element("details", element("summary", "Numbers"), table))
    return element("figure", joined(parts), class_="card wide" if wide else "card")


def numbers(header: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str) -> Markup:
    """A table that scrolls sideways where it is too wide; None is shown as a dash."""
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = joined(
        element(
            "tr",
            element("th", _cell(row[0]), scope="row", class_=_kind(row[0])),
            *(element("td", _cell(cell), class_=_kind(cell)) for cell in row[1:]),
        )
        for row in rows
    )
    table = element(
        "table",
        element("caption", caption, class_="hidden"),
        element("thead", head),
        element("tbody", body),
        class_="numbers",
    )
    # a region that scrolls is reached by keyboard too
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(value: object) -> object:
    if value is None:
        return "\N{EN DASH}"
    if _kind(value):  # the names of classes and models have no spaces to be broken at
        return Markup("<wbr>").join(re.split(r"(?<=[_/-])(?=\w)|(?<=\.)(?=[^\W\d])", str(value)))
    return f"{value:.4g}" if isinstance(value, float) else value


def _kind(value: object) -> str | None:
    # a long name may be broken, a number never
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return "words" if plain and len(str(value)) > _SHORT else None


def _key(class_: str, label: str) -> Markup:
    line = element("line", x1=1, x2=21, y1=6, y2=6)
    mark = element("svg", line, viewBox="0 0 22 12", class_=f"key {class_}", aria_hidden="true")
    return element("li", mark, label)
