"""Many curves: a small chart for each, on common axes, in front of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_report.charts.lines import Curve, draw_curve
from kd_report.charts.svg import Scale, across, along, clipped, element, joined, svg, text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_WIDE: Final = 190.0
_HIGH: Final = 128.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 28.0, _WIDE - 10, 24.0, _HIGH - 20
_LETTERS: Final = 21
_COLUMNS: Final = 3  # of a picture: its letters stay as large as those of a page
_GAP: Final = 16.0
_HEAD: Final = 26.0  # height of a picture's title


@dataclass(frozen=True, kw_only=True)
class Panels:
    """A small chart for each of many curves.

    Attributes:
        curves: in the order of the charts.
        label: what all of them show.
        reference: the name of a curve that every chart has; None: there is none.
        written: for each curve a text next to its name, such as its last value.
    """

    curves: Sequence[Curve]
    label: str
    reference: str | None = None
    written: Sequence[str] = ()

    def charts(self) -> list[Markup]:
        """Each chart as an SVG of its own, for a page that places them by its width."""
        return [
            svg(_HIGH, part, label=f"{self.label}: {curve.name}", width=_WIDE)
            for curve, part in zip(self.curves, self._parts(), strict=True)
        ]

    def picture(self) -> Markup:
        """All charts in one SVG, under the label."""
        parts = [text(0, 12, self.label, class_="name")]
        columns = min(_COLUMNS, max(len(self.curves), 1))
        for number, part in enumerate(self._parts()):
            row, column = divmod(number, columns)
            at = f"translate({column * (_WIDE + _GAP):g} {_HEAD + row * (_HIGH + _GAP):g})"
            parts.append(element("g", part, transform=at))
        rows = -(-len(self.curves) // columns)
        height = _HEAD + rows * (_HIGH + _GAP)
        return svg(height, *parts, label=self.label, width=columns * (_WIDE + _GAP) - _GAP)

    def _parts(self) -> list[Markup]:
        values = [value for curve in self.curves for value in curve.values] or [0.0]
        places = [x for curve in self.curves for x, y in curve.points if y is not None] or [0.0]
        marks = ticks(min(values), max(values), 3)
        y = Scale(marks[0], marks[-1], _BOTTOM, _TOP)
        x = Scale(min(places), max(places), _LEFT + 4, _RIGHT - 4)
        behind = joined(
            [
                across(marks, y, _LEFT, _RIGHT),
                along(sorted({min(places), max(places)}), x, _BOTTOM),
                _band(self.curves, x, y),
            ]
        )
        shared = [curve for curve in self.curves if curve.name == self.reference]
        others = joined(draw_curve(_as(curve, "faint"), x, y) for curve in shared)
        written = [*self.written, *[""] * len(self.curves)]
        return [
            joined(
                [
                    text(0, 12, clipped(curve.name, _LETTERS), class_="name"),
                    text(_WIDE, 12, note, anchor="end"),
                    behind,
                    *([] if curve in shared else [others]),
                    draw_curve(_as(curve, "student"), x, y),
                ]
            )
            for curve, note in zip(self.curves, written, strict=False)
        ]


def _as(curve: Curve, class_: str) -> Curve:
    return Curve(curve.name, curve.points, class_)


def _band(curves: Sequence[Curve], x: Scale, y: Scale) -> Markup:
    """The area from the lowest to the highest of all curves; nothing of a single place."""
    found = dict[float, list[float]]()
    for curve in curves:
        for place, value in curve.points:
            if value is not None:
                found.setdefault(place, []).append(value)
    places = sorted(found)
    if len(places) < 2:
        return joined([])
    upper = [f"{x(place):.1f} {y(max(found[place])):.1f}" for place in places]
    lower = [f"{x(place):.1f} {y(min(found[place])):.1f}" for place in reversed(places)]
    return element("path", d=f"M{'L'.join([*upper, *lower])}Z", class_="band")
