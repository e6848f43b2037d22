"""How long an export takes for one image, next to the student itself: measured in turns, in one process."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.script import run_script

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
    """The time of a forward pass of one image on the CPU.

    Attributes:
        name: the format, or 'student': the network in PyTorch.
        milliseconds: the median over the rounds.
        of_student: the median of its time divided by the student's in the same round.
        rounds: how many.
        threads: torch's; other runtimes use as many as they like.
    """

    name: str
    milliseconds: float
    of_student: float
    rounds: int
    threads: int


@torch.inference_mode()
def latencies(student: RunStudent, folders: Mapping[str, Path]) -> tuple[Latency, ...]:
    """The latency of the student, and of the exports in these folders.

    Each round runs all of them once, so that other work on the machine slows all of them down.
    """
    image = student.example(1)
    array = image.numpy()
    calls: dict[str, Callable[[], Any]] = {STUDENT: lambda: student.model(image)}
    for name, folder in folders.items():
        calls[name] = _call(run_script(folder), array)
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    rounds: list[dict[str, float]] = []
    begun = time.perf_counter()
    while len(rounds) < _ROUNDS and (not rounds or time.perf_counter() - begun < _SECONDS):
        rounds.append({name: _seconds(call) for name, call in calls.items()})
    return tuple(
        Latency(
            name=name,
            milliseconds=1e3 * statistics.median(one[name] for one in rounds),
            of_student=statistics.median(one[name] / one[STUDENT] for one in rounds),
            rounds=len(rounds),
            threads=torch.get_num_threads(),
        )
        for name in calls
    )


def _call(exported: Callable[[Any], Any], array: Any) -> Callable[[], Any]:
    return lambda: exported(array)


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
