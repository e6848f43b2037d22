"""The plots of a comparison as SVG, drawn in the page's own colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.commands.compare.result import ComparisonResult

_WIDTH: Final = 480.0
_ROW: Final = 22.0
_LETTER: Final = 6.8  # width of a letter at the size of the labels
STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: currentColor; }
.axis { stroke: currentColor; stroke-opacity: .25; }
.zero { stroke: currentColor; stroke-opacity: .6; stroke-dasharray: 3 3; }
.whisker { stroke: currentColor; stroke-width: 1.5; }
.mean { fill: currentColor; }
.seed { fill: currentColor; fill-opacity: .35; }
.clear { color: #0a7d33; } .worse { color: #b3261e; }
polyline { fill: none; stroke-width: 1.6; }
.small { font-size: 11px; }
"""
_DARK: Final = ".clear { color: #4cc377; } .worse { color: #ff8a80; }"


@dataclass(frozen=True)
class _Line:
    """A row of a dot plot; values in the axis' unit."""

    label: str
    middle: float
    low: float | None
    high: float | None
    points: Sequence[float] = ()
    style: str = ""
    title: str = ""


def scores_svg(result: ComparisonResult) -> str:
    """Mean score of each method with its standard deviation, and a point for each seed."""
    lines = []
    base = None
    for row in result.ranked():
        if row.score is None:
            continue
        points = [
            score
            for run in result.runs
            if run.method == row.label
            and run.status == "finished"
            and (score := getattr(run, result.metric)) is not None
        ]
        low, high = (None, None) if row.std is None else (row.score - row.std, row.score + row.std)
        lines.append(_Line(row.label, row.score, low, high, points, title=f"{row.score:.2f} %"))
        if row.label == result.baseline:
            base = row.score
    named = "top-1 %" if result.metric == "top1" else "agreement with the teacher %"
    return _dots(lines, base, f"{named}: mean, standard deviation, seeds")


def gains_svg(result: ComparisonResult) -> str:
    """Gain of each method over the baseline with its confidence interval; empty where there is none."""
    lines = []
    for row in result.ranked():
        if row.gain is None:
            continue
        style = ""
        if row.gain.clear:
            style = "clear" if row.gain.mean > 0 else "worse"
        title = f"{row.gain.mean:+.2f}"
        lines.append(_Line(row.label, row.gain.mean, row.gain.low, row.gain.high, style=style, title=title))
    return _dots(lines, 0.0, f"gain over {result.baseline} in percent points, 95 % interval") if lines else ""


def curves_svg(result: ComparisonResult) -> str:
    """Mean score after each epoch, a line for each method; dropped ones end early."""
    curves = {row.label: result.curves.get(row.label, []) for row in result.ranked()}
    curves = {label: curve for label, curve in curves.items() if curve}
    if not curves:
        return ""
    legend_width = 24 + _LETTER * max(map(len, curves))
    left, right, top = 40.0, _WIDTH - legend_width, 28.0
    bottom = max(240.0, top + 16 * len(curves))
    values = [value for curve in curves.values() for value in curve]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    last = max(len(curve) for curve in curves.values())

    def x(epoch: float) -> float:
        return left + (right - left) * ((epoch - 1) / max(last - 1, 1))

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    named = "top-1 %" if result.metric == "top1" else "agreement %"
    parts = [_text(0, 12, f"{named} after each epoch, mean over the seeds", "small")]
    for tick in ticks:
        parts.append(
            f'<line class="axis" x1="{left}" x2="{right:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(_text(left - 6, y(tick) + 4, _short(tick), "small", "end"))
    for epoch in sorted({round(tick) for tick in _ticks(1, max(last, 2)) if 1 <= tick <= last} | {1, last}):
        parts.append(_text(x(epoch), bottom + 16, str(epoch), "small", "middle"))
    for number, (label, curve) in enumerate(curves.items()):
        colour = "currentColor" if label == result.baseline else f"hsl({number * 137 % 360} 65% 50%)"
        dashes = ' stroke-dasharray="5 3"' if label == result.baseline else ""
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(curve, 1))
        name = f"<title>{escape(label)}</title>"
        if len(curve) == 1:
            parts.append(
                f'<circle cx="{x(1):.1f}" cy="{y(curve[0]):.1f}" r="3" fill="{colour}">{name}</circle>'
            )
        else:
            parts.append(f'<polyline points="{points}" stroke="{colour}"{dashes}>{name}</polyline>')
        at = top + 12 + 16 * number
        parts.append(
            f'<line x1="{right + 6:.1f}" x2="{right + 18:.1f}" y1="{at - 4:.1f}" y2="{at - 4:.1f}" '
            f'stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts.append(_text(right + 22, at, label, "small"))
    return _svg(bottom + 22, parts, "curves")


def standalone(svg: str) -> str:
    """An SVG as a file of its own, with its styles and a background."""
    if not svg:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'
    style = (
        f"<style>svg {{ color: #1c1c1e; background: #fff; }}{STYLE}"
        f"@media (prefers-color-scheme: dark) {{ svg {{ color: #e6e6e6; background: #16181c; }} {_DARK} }}</style>"
    )
    head, mark, rest = svg.partition(">")
    named = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}{mark}{style}{rest}\n"


def _dots(lines: Sequence[_Line], reference: float | None, title: str) -> str:
    if not lines:
        return ""
    left = 12 + _LETTER * max(len(line.label) for line in lines)
    right, top = _WIDTH - 56, 22.0
    bottom = top + _ROW * len(lines)
    values = [
        value
        for line in lines
        for value in (line.middle, line.low, line.high, *line.points, reference)
        if value is not None
    ]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    parts = [_text(0, 12, title, "small")]
    for tick in ticks:
        parts.append(f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 16, _short(tick), "small", "middle"))
    if reference is not None:
        at = x(reference)
        parts.append(f'<line class="zero" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>')
    for number, line in enumerate(lines):
        y = top + _ROW * (number + 0.5)
        inner = []
        if line.low is not None and line.high is not None:
            inner.append(
                f'<line class="whisker" x1="{x(line.low):.1f}" x2="{x(line.high):.1f}" y1="{y}" y2="{y}"/>'
            )
        inner += [f'<circle class="seed" cx="{x(point):.1f}" cy="{y}" r="3"/>' for point in line.points]
        inner.append(f'<circle class="mean" cx="{x(line.middle):.1f}" cy="{y}" r="4"/>')
        inner.append(_text(right + 8, y + 4, line.title.removesuffix(" %"), "small"))
        parts.append(_text(left - 8, y + 4, line.label, "", "end"))
        parts.append(
            f'<g class="{line.style}"><title>{escape(line.label)} {line.title}</title>{"".join(inner)}</g>'
        )
    return _svg(bottom + 22, parts, "dots")


def _svg(height: float, parts: Sequence[str], name: str) -> str:
    body = "\n".join(parts)
    return f'<svg class="{name}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img">\n{body}\n</svg>'


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from at or below `low` to at or above `high`."""
    span = max(high - low, 1e-6)
    step = 10 ** math.floor(math.log10(span / 4))
    for factor in (1, 2, 5, 10):
        if span / (step * factor) <= 6:
            step *= factor
            break
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _short(value: float) -> str:
    return f"{value:.4g}"
