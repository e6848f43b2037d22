"""Measurements as tables: for a terminal and for a page."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.rounds import Measured, difference, ratio


def head(case: Measured) -> tuple[str, ...]:
    """The columns' names."""
    third = f"{case.unit} more" if case.differences else "images/s"
    return tuple(_kept(case, ("", f"median {case.unit}", third, "ratio", "quartiles", "CPU ratio")))


def rows(case: Measured) -> list[tuple[str, ...]]:
    """One row for each contender, as text."""
    made = []
    for name, values in case.values.items():
        middle = statistics.median(values)
        of_base = ratio(values, case.values[case.base])
        scale = 1000 if case.unit == "ms" else 1
        more = scale * difference(values, case.values[case.base])
        cpu = ratio(case.cpu[name], case.cpu[case.base]) if case.cpu else None
        cells = (
            name,
            number(scale * middle),
            f"{more:.2f}" if case.differences else f"{case.images / middle:,.0f}" if case.images else "",
            f"{of_base.median:.3f}",
            f"{of_base.low:.3f} to {of_base.high:.3f}",
            "" if cpu is None else f"{cpu.median:.3f}",
        )
        made.append(tuple(_kept(case, cells)))
    blank = [""] * (len(head(case)) - 2)
    return made + [(name, note, *blank) for name, note in case.notes.items() if name not in case.values]


def text(case: Measured) -> str:
    """For a terminal: the case's name, its rounds, and aligned columns."""
    lines = [head(case), *rows(case)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join([f"{case.name}: {rounds(case)} rounds, ratios to '{case.base}'", *shown])


def markdown(case: Measured) -> str:
    """For a page."""
    names = head(case)
    lines = [names, ("---", *("---:" for _ in names[1:])), *rows(case)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rounds(case: Measured) -> int:
    """How many there were."""
    return len(next(iter(case.values.values()), []))


def as_dict(case: Measured) -> dict[str, Any]:
    """For JSON: every single value, so that anybody can take another statistic."""
    return dict(vars(case))


def _kept(case: Measured, cells: tuple[str, ...]) -> list[str]:
    drop = {2} if not case.images and not case.differences else set()
    if not case.cpu:
        drop.add(5)
    return [cell for column, cell in enumerate(cells) if column not in drop]


def number(value: float) -> str:
    """Three digits of it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    first, *others = line
    return [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
    ]
