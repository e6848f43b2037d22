"""On an accelerator: bf16, channels-last and compiled, at 224 px, the bare loop in the same way. Elsewhere no case."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import Case
from benchmarks.steps.bare import bare_loop, student_alone
from benchmarks.steps.cases import CACHE, begin
from benchmarks.steps.workload import Workload

if TYPE_CHECKING:
    from benchmarks.groups import Cases
    from benchmarks.rounds import Step

PAIRS = (("resnet50", "resnet18"), ("convnext_small", "vit_tiny_patch16_224"))
FAST: dict[str, Any] = {"train__precision": "bf16", "train__channels_last": True, "train__compile": True}


def cases() -> Cases:
    """Both pairs at two sizes of batch; none without an accelerator."""
    from benchmarks.device import device

    if device().type == "cpu":
        return {}
    found = [
        Workload(
            f"{teacher} -> {student}, 224 px, batch {batch}, bf16, compiled", teacher, student, 224, batch
        )
        for teacher, student in PAIRS
        for batch in (128, 512)
    ]
    return {workload.name: partial(compiled, workload) for workload in found}


def compiled(workload: Workload) -> Case:
    """Bare loop and student alone, in bf16 and compiled; kd live, with its teacher not folded, and cached."""
    steps: dict[str, Step] = {
        "bare loop": bare_loop(workload, fast=True),
        "student alone": student_alone(workload, fast=True),
    }
    with contextlib.ExitStack() as stack:
        steps["kd live"] = begin(stack, workload, **FAST).step()
        steps["kd live, teacher not folded"] = begin(stack, workload, **FAST, teacher__fold=False).step()
        steps["kd cached"] = begin(stack, workload, **FAST, teacher_cache=CACHE).step()
        close = stack.pop_all().close
    return Case(workload.name, "bare loop", steps, workload.batch, close=close)
