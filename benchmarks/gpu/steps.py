"""Steps of the pairs for an accelerator, and the memory that one takes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.device import device
from benchmarks.rounds import measure
from benchmarks.steps.gpu import cases
from benchmarks.table import as_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.gpu.parts import Items, Turn
    from benchmarks.rounds import Case

ROUNDS, SECONDS = 100, 20.0


def items(small: bool) -> Items:
    """Each case."""
    return {name: partial(_measured, build) for name, build in cases(small).items()}


def _measured(build: Callable[[], Case], turn: Turn) -> dict[str, Any]:
    """Times of each contender, and the peak memory in a step beyond what was there before it."""
    case = build()
    close, case.close = case.close, None
    try:
        memory = _peaks(case.steps)
        rounds, seconds = (2, 0.0) if turn.small else (ROUNDS, min(SECONDS, turn.seconds / 3))
        # each contender has done its first step, the one that compiles
        found = measure(case, rounds, seconds, warmup=1)
    finally:
        if close is not None:
            close()
    return {"case": as_dict(found), "peak_mib": memory}


def _peaks(steps: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """MiB; empty on the processor and where torch does not count it."""
    import torch

    if device().type != "cuda":
        return {}
    found = {}
    for name, step in steps.items():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        found[name] = round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
    return found
