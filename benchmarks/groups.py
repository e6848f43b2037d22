"""What can be measured: groups of cases, each group in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from benchmarks.rounds import Case, Measured, measure

Cases = dict[str, Callable[[], Case]]
"""What a group's module gives by `cases()`: names, and what builds a case when its turn comes."""


@dataclass(frozen=True)
class Group:
    """A module of this package with a function `cases() -> Cases`.

    Attributes:
        name: its name on the command line.
        module: imported when the group is run.
        summary: one line.
        seconds: default time to measure each case.
    """

    name: str
    module: str
    summary: str
    seconds: float = 60.0


GROUPS = {
    group.name: group
    for group in (
        Group(
            "steps",
            "benchmarks.steps.cases",
            "a training step: bare loop, peers, kd live and cached, options",
            75,
        ),
        Group("data", "benchmarks.data", "the data pipeline alone, from files to batches"),
        Group(
            "losses",
            "benchmarks.losses",
            "each loss function alone, compared with its authors' formulation",
            3,
        ),
        Group(
            "crd", "benchmarks.crd", "CRD's loss and negatives, compared with RepDistiller's formulation", 12
        ),
        Group(
            "processes",
            "benchmarks.processes",
            "a training step in two processes, and how they agree to stop",
        ),
        Group("order", "benchmarks.order", "time and memory up to the first batch, by the number of samples"),
        Group("memory", "benchmarks.memory", "peak memory of a process that trains", 45),
        Group("startup", "benchmarks.startup", "how long each command takes to answer", 45),
    )
}


def run_group(group: Group, rounds: int, seconds: float | None, only: str) -> Iterator[Measured]:
    """Every case of a group whose name has `only` in it, measured."""
    cases: Cases = import_module(group.module).cases()
    for name, build in cases.items():
        if only in name:
            yield measure(build(), rounds, group.seconds if seconds is None else seconds)
