"""Paired and interleaved: a step of each contender per round, in random order; a ratio is taken within its round."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.device import synchronize

Step = Callable[[], Any]
"""Does its work once; in a case of another unit than time it returns what it measured."""


@dataclass
class Case:
    """What is compared with each other.

    Attributes:
        name: the row group's title.
        base: the contender that the others are ratios to.
        steps: what each contender does once, by its name.
        images: how many images a step takes, for images/s; None where that means nothing.
        notes: a sentence on a contender, by its name; also on one that cannot run here and has no step.
        close: called when the case is done.
        unit: 'ms', or of what the steps return.
        cpu: whether processor time means something: not where a step starts processes.
        differences: show how much more than the base a contender takes, instead of images/s.
    """

    name: str
    base: str
    steps: Mapping[str, Step]
    images: int | None = None
    notes: dict[str, str] = field(default_factory=dict)
    close: Callable[[], object] | None = None
    unit: str = "ms"
    cpu: bool = True
    differences: bool = False


@dataclass
class Measured:
    """Values of each contender, an entry per round.

    Attributes:
        values: seconds by the clock, or what the steps returned.
        cpu: seconds of the processor; empty where they mean nothing.
    """

    name: str
    base: str
    values: dict[str, list[float]]
    cpu: dict[str, list[float]]
    images: int | None
    notes: dict[str, str]
    unit: str
    differences: bool


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, with quartiles."""

    median: float
    low: float
    high: float


def measure(case: Case, rounds: int, seconds: float, warmup: int = 3) -> Measured:
    """Measure for this number of rounds or seconds; at least five rounds for times, three for other units."""
    timed = case.unit == "ms"
    least = 5 if timed else 3
    values: dict[str, list[float]] = {name: [] for name in case.steps}
    cpu: dict[str, list[float]] = {name: [] for name in case.steps}
    for step in case.steps.values():
        for _ in range(warmup if timed else 0):
            step()
    synchronize()
    draw = random.Random(0)  # noqa: S311  # an order, no secret
    names = list(case.steps)
    began = time.perf_counter()
    for done in range(rounds):
        if done >= least and time.perf_counter() - began > seconds:
            break
        for name in draw.sample(names, len(names)):
            before, start = time.process_time(), time.perf_counter()
            returned = case.steps[name]()
            synchronize()
            values[name].append(time.perf_counter() - start if timed else returned)
            if timed and case.cpu:
                cpu[name].append(time.process_time() - before)
    if case.close is not None:
        case.close()
    used = cpu if timed and case.cpu else {}
    return Measured(case.name, case.base, values, used, case.images, case.notes, case.unit, case.differences)


def ratio(values: list[float], base: list[float]) -> Ratio:
    """Of each round's value to the same round's base."""
    ratios = [value / other for value, other in zip(values, base, strict=True)]
    if len(ratios) < 2:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(middle, low, high)


def difference(values: list[float], base: list[float]) -> float:
    """The median of what each round's value is more than the same round's base."""
    return statistics.median(value - other for value, other in zip(values, base, strict=True))
