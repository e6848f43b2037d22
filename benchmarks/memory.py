"""Peak memory of a whole process that trains: memory of the accelerator if there is one, otherwise resident memory."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.rounds import Case, Step

if TYPE_CHECKING:
    from benchmarks.groups import Cases

STEPS = 8


def cases() -> Cases:
    """One pair at two sizes."""
    return {pair: partial(peaks, pair) for pair in ("64 px", "224 px")}


def peaks(pixels: str) -> Case:
    """Each round starts a process for every contender."""
    names = ("bare loop", "student alone", "kd live", "kd cached")
    steps: dict[str, Step] = {name: partial(_measure, name, pixels) for name in names}
    return Case(f"resnet34 -> resnet18, {pixels}", "bare loop", steps, unit="MiB")


def _measure(contender: str, pixels: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", contender, pixels]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])  # noqa: S603


def _train(contender: str, pixels: str) -> float:
    """MiB at the peak, after some steps."""
    from benchmarks.steps import bare, cases

    workload = next(one for one in cases.WORKLOADS if one.name == f"resnet34 -> resnet18, {pixels}")
    makers = {"bare loop": bare.bare_loop, "student alone": bare.student_alone}
    run = None
    if contender in makers:
        step = makers[contender](workload)
    else:
        from benchmarks.steps.kd import KdRun

        run = KdRun.begin(workload, **({"teacher_cache": cases.CACHE} if contender == "kd cached" else {}))
        step = run.step()
    for _ in range(STEPS):
        step()
    used = peak()
    if run is not None:
        run.folder.cleanup()
    return used


def peak() -> float:
    """MiB of this process: of the accelerator if there is one."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    print(_train(*sys.argv[1:]))
