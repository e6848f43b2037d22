"""What `python -m benchmarks gpu` does: parts in the order of their importance, each in processes of its own.

A part is a module with a function `items(small: bool)`: names, and what does an item when its turn comes. It returns
what JSON can hold. An item that raises has failed; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """What an item may use.

    Attributes:
        seconds: until its process is stopped.
        folder: the part's files, which stay until the part is done: an interrupted run continues from them.
        small: whether it only shows that it works, on the processor.
    """

    seconds: float
    folder: Path
    small: bool


Items = dict[str, Callable[[Turn], Any]]


@dataclass(frozen=True)
class Part:
    """A module of items.

    Attributes:
        name: on the command line and in the file.
        module: has `items`; imported in the part's own process.
        summary: one line.
        weight: its share of the time, relative to the parts that are still to come.
    """

    name: str
    module: str
    summary: str
    weight: float


PARTS = (
    Part("correctness", "benchmarks.gpu.correctness", "the tests that are marked for accelerators", 2),
    Part("steps", "benchmarks.gpu.steps", "a training step in bf16, compiled or not, and its peers", 4),
    Part("loader", "benchmarks.gpu.loader", "images per second of the loader, by its processes", 1),
    Part("crd", "benchmarks.gpu.crd", "both ways of CRD's loss, for the constants of its cost model", 1),
    Part("methods", "benchmarks.gpu.methods", "every distiller trains two short epochs", 2),
    Part(
        "comparison", "benchmarks.gpu.comparison", "few labels on CIFAR-10 or the digits: seeds that fit", 3
    ),
)
