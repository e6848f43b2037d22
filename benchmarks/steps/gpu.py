"""The pairs for an accelerator: bf16, channels-last, compiled or not; every contender in the same way."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import Case
from benchmarks.steps.bare import bare_loop, student_alone
from benchmarks.steps.cases import CACHE, begin
from benchmarks.steps.peers import NO_TORCHDISTILL, timm_task, torchdistill_box
from benchmarks.steps.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.groups import Cases
    from benchmarks.rounds import Step

PAIRS = (("resnet50", "resnet18"), ("convnext_small", "vit_tiny_patch16_224"))
FAST: dict[str, Any] = {"train__precision": "bf16", "train__channels_last": True}
BASE = "bare loop"


def cases(small: bool = False) -> Cases:
    """Both pairs at two sizes of batch, each first as they are: compiling takes minutes. Small: tiny models."""
    if small:
        grid = [("test_resnet", "test_resnet", 32, 4, compiled) for compiled in (False, True)]
    else:
        grid = [
            (teacher, student, 224, batch, compiled)
            for batch in (128, 512)
            for compiled in (False, True)
            for teacher, student in PAIRS
        ]
    made: Cases = {}
    for teacher, student, pixels, batch, compiled in grid:
        how = "compiled" if compiled else "not compiled"
        name = f"{teacher} -> {student}, {pixels} px, batch {batch}, bf16, channels_last, {how}"
        # two batches: eight of 512 for each contender would not fit into every accelerator
        workload = Workload(name, teacher, student, pixels, batch, batches=2)
        made[name] = partial(contenders, workload, compiled)
    return made


def contenders(workload: Workload, compiled: bool) -> Case:
    """Bare loop, student alone and peers, then kd; one that cannot do a step is a note of the case.

    Raises:
        RuntimeError: the bare loop cannot do one either.
    """
    fast: dict[str, Any] = {"fast": True, "compiled": compiled}
    settings = {**FAST, "train__compile": compiled}
    steps: dict[str, Step] = {}
    notes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        kd = partial(_kd, stack, workload)
        makers: dict[str, Callable[[], Step | None]] = {
            BASE: partial(bare_loop, workload, **fast),
            "student alone": partial(student_alone, workload, **fast),
            "kd live": partial(kd, settings),
            "kd cached": partial(kd, {**settings, "teacher_cache": CACHE}),
            "timm LogitDistillationTask": partial(timm_task, workload, **fast),
            "torchdistill": partial(torchdistill_box, workload, **fast),
            "kd live, teacher not folded": partial(kd, {**settings, "teacher__fold": False}),
        }
        if compiled and takes_whole_step():
            whole = {**settings, "train__compile": "step"}
            makers["kd live, whole step"] = partial(kd, whole)
            makers["kd cached, whole step"] = partial(kd, {**whole, "teacher_cache": CACHE})
        for name, make in makers.items():
            try:
                step = make()
                if step is None:
                    notes[name] = NO_TORCHDISTILL
                    continue
                step()
            except Exception as error:
                if name == BASE:
                    raise RuntimeError(f"{workload.name}: {BASE}") from error
                notes[name] = f"failed: {type(error).__name__}: {_first_line(error)}"
                continue
            steps[name] = step
        close = stack.pop_all().close
    return Case(workload.name, BASE, steps, workload.batch, notes, close)


def takes_whole_step() -> bool:
    """Whether `train.compile` can be "step"."""
    from pydantic import ValidationError

    from kdcore.spec.models import TrainSpec

    try:
        TrainSpec.model_validate({"compile": "step"})
    except ValidationError:
        return False
    return True


def _kd(stack: contextlib.ExitStack, workload: Workload, changes: dict[str, Any]) -> Step:
    return begin(stack, workload, **changes).step()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].replace("|", "/")[:200]
