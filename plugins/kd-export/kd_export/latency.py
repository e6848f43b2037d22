"""How long an export takes for an image, next to the student itself: measured in turns, in one process."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.script import run_script
from kdcore.plugin import PluginError, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kdcore.inspect import RunStudent

STUDENT: Final = "student"
_ROUNDS: Final = 50
_WARM_UP: Final = 5
_SECONDS: Final = 20.0  # no more rounds after these


@dataclass(frozen=True)
class Latency:
    """The time of a forward pass on the CPU for each image.

    Attributes:
        name: the format, or 'student': the network in PyTorch.
        milliseconds: the median over the rounds; of several images, their time divided by `batch`.
        of_student: the median of its time divided by the student's for as many images in the same round.
        batch: images in a pass: one, or the fixed batch of an export.
        rounds: how many.
        threads: torch's; other runtimes use as many as they like.
    """

    name: str
    milliseconds: float
    of_student: float
    batch: int
    rounds: int
    threads: int


@torch.inference_mode()
def latencies(
    student: RunStudent, exports: Mapping[str, tuple[Path, int]]
) -> tuple[tuple[Latency, ...], dict[str, str]]:
    """The latency of the student and of exports, and why some exports cannot be measured.

    Each round runs all of them once, so that other work on the machine slows all of them down.

    Args:
        student: the student; it is measured with one image, and with each other batch of an export.
        exports: by format the folder, and the number of images in a pass.
    """
    sizes = sorted({1, *(size for _, size in exports.values())})
    images = {size: student.example(size) for size in sizes}
    calls: dict[tuple[str, int], Callable[[], Any]] = {}
    for size in sizes:
        calls[STUDENT, size] = _warm(_call(student.model, images[size]))
    failed = {}
    for name, (folder, size) in exports.items():
        try:
            with guarded(""):
                calls[name, size] = _warm(_call(run_script(folder), images[size].numpy()))
        except PluginError as error:
            failed[name] = f"its time was not measured: its load.py cannot be used here: {error}"
    rounds: list[dict[tuple[str, int], float]] = []
    begun = time.perf_counter()
    while len(rounds) < _ROUNDS and (not rounds or time.perf_counter() - begun < _SECONDS):
        rounds.append({key: _seconds(call) for key, call in calls.items()})
    measured = tuple(
        Latency(
            name=name,
            milliseconds=1e3 * statistics.median(one[name, size] for one in rounds) / size,
            of_student=statistics.median(one[name, size] / one[STUDENT, size] for one in rounds),
            batch=size,
            rounds=len(rounds),
            threads=torch.get_num_threads(),
        )
        for name, size in calls
    )
    return measured, failed


def _call(model: Callable[[Any], Any], images: Any) -> Callable[[], Any]:
    return lambda: model(images)


def _warm(call: Callable[[], Any]) -> Callable[[], Any]:
    for _ in range(_WARM_UP):
        call()
    return call


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
