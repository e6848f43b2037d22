"""Points in the plane, with a colour and a shape for each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_report.charts.svg import WIDTH, Scale, element, joined, svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

SHAPES: Final = ("round", "triangle")
_HEIGHT: Final = 300
_EDGE: Final = 8


@dataclass(frozen=True)
class Cloud:
    """Points that belong together; `class_` gives the colour, `shape` is one of SHAPES."""

    name: str
    points: Sequence[tuple[float, float]]
    class_: str
    shape: str = "round"


def scatter(clouds: Sequence[Cloud], *, label: str) -> Markup:
    """All points, the axes without numbers: in an embedding map only nearness counts."""
    xs = [x for cloud in clouds for x, _ in cloud.points] or [0.0]
    ys = [y for cloud in clouds for _, y in cloud.points] or [0.0]
    x = Scale(min(xs), max(xs), _EDGE, WIDTH - _EDGE)
    y = Scale(min(ys), max(ys), _HEIGHT - _EDGE, _EDGE)
    frame = element("rect", x=0.5, y=0.5, width=WIDTH - 1, height=_HEIGHT - 1, rx=4, class_="frame")
    return svg(_HEIGHT, frame, joined(_points(cloud, x, y) for cloud in clouds), label=label)


def _points(cloud: Cloud, x: Scale, y: Scale) -> Markup:
    # one path for all points: a dot is a line of no length with a round end
    dot = "h0" if cloud.shape == "round" else "m0-3.2l3 5.4h-6z"
    path = "".join(f"M{x(a):.1f} {y(b):.1f}{dot}" for a, b in cloud.points)
    return element(
        "path", element("title", cloud.name), d=path, class_=f"points {cloud.shape} {cloud.class_}"
    )
