"""A reliability diagram, as Guo et al. 2017 draw it, over a histogram of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kd_report.charts.svg import WIDTH, Scale, across, along, element, joined, svg, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_LEFT, _RIGHT, _TOP = 44, WIDTH - 14, 24
_PLOT: Final = 198  # lower edge of the diagram
_COUNTS: Final = (_PLOT + 12, _PLOT + 44)  # upper and lower edge of the histogram
_MARKS: Final = (0, 25, 50, 75, 100)


def reliability(
    edges: Sequence[float],
    counts: Sequence[int],
    accuracy: Sequence[float],
    confidence: Sequence[float],
    *,
    label: str,
    class_: str,
) -> Markup:
    """Each bin's accuracy as a bar and its mean confidence as a tick, the diagonal, and how many images are where."""
    x, y = Scale(0, 100, _LEFT, _RIGHT), Scale(0, 100, _PLOT, _TOP)
    most = max(counts, default=0) or 1
    bars = []
    for low, high, count, right, sure in zip(
        edges[:-1], edges[1:], counts, accuracy, confidence, strict=True
    ):
        if not count:
            continue
        left, width = x(low) + 1, x(high) - x(low) - 2
        told = element(
            "title",
            f"{low:.0f} to {high:.0f} %: {count} images, accuracy {right:.1f} %, confidence {sure:.1f} %",
        )
        size = (_COUNTS[1] - _COUNTS[0]) * count / most
        top, bottom = sorted((y(right), y(sure)))
        bars += [
            element(
                "rect", told, x=left, y=y(right), width=width, height=_PLOT - y(right), class_=f"bar {class_}"
            ),
            # what is missing to the diagonal, or beyond it
            element("rect", x=left, y=top, width=width, height=bottom - top, class_="gap"),
            element("line", x1=left, x2=left + width, y1=y(sure), y2=y(sure), class_="sure"),
            element("rect", x=left, y=_COUNTS[1] - size, width=width, height=size, class_="bar count"),
        ]
    return svg(
        _COUNTS[1] + 38,
        across(_MARKS, y, _LEFT, _RIGHT),
        element("line", x1=x(0), y1=y(0), x2=x(100), y2=y(100), class_="diagonal"),
        joined(bars),
        along(_MARKS, x, _COUNTS[1] + 1),
        text(
            (_LEFT + _RIGHT) / 2,
            _COUNTS[1] + 34,
            "probability of the first class, %",
            anchor="middle",
            class_="axis",
        ),
        text(_LEFT - 38, 10, "accuracy, %", class_="axis"),
        text(_LEFT - 6, _COUNTS[1] - 3, "images", anchor="end"),
        label=label,
    )
