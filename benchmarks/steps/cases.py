"""The workloads, and who does a step of each."""

from __future__ import annotations

import contextlib
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import Case
from benchmarks.steps.bare import bare_loop, student_alone
from benchmarks.steps.peers import NO_TORCHDISTILL, timm_task, torchdistill_box
from benchmarks.steps.workload import Workload

if TYPE_CHECKING:
    from benchmarks.groups import Cases
    from benchmarks.rounds import Step
    from benchmarks.steps.kd import KdRun

PAIR = Workload("resnet34 -> resnet18, 64 px", "resnet34", "resnet18", 64, 32)
WORKLOADS = (
    PAIR,
    Workload("resnet34 -> resnet18, 224 px", "resnet34", "resnet18", 224, 8),
    Workload("vit_small -> resnet18, 224 px", "vit_small_patch16_224", "resnet18", 224, 8),
    Workload("resnet50 -> mobilenetv2_100, 224 px", "resnet50", "mobilenetv2_100", 224, 8),
    Workload("resnet34 -> resnet18 for 32 px", "resnet34", "resnet18", 32, 16, options={"small_input": True}),
    Workload("resnet56 -> resnet20 of the CIFAR papers, 32 px", "cifar_resnet56", "cifar_resnet20", 32, 64),
)
TINY = Workload("the loop's own cost: test_resnet -> test_resnet, 32 px", "test_resnet", "test_resnet", 32, 2)
CACHE = {"augmentations": 1}
OPTIONS: dict[str, dict[str, Any]] = {
    "kd, teacher not folded": {"teacher__fold": False},
    "kd, teacher in bf16": {"teacher__precision": "bf16"},
    "kd, channels_last": {"train__channels_last": True},
    "kd, bf16": {"train__precision": "bf16"},
    "kd, bf16, channels_last": {"train__precision": "bf16", "train__channels_last": True},
    "kd, compiled": {"train__compile": True},
    "kd cached, bf16, channels_last": {
        "train__precision": "bf16",
        "train__channels_last": True,
        "teacher_cache": CACHE,
    },
}


def cases() -> Cases:
    """Each workload with every contender; then kd with its options, and with models that cost next to nothing."""
    made: Cases = {workload.name: partial(contenders, workload) for workload in WORKLOADS if _known(workload)}
    made["options"] = partial(options, PAIR)
    made["hints"] = partial(hints, PAIR)
    made["own"] = own
    if _known(WORKLOADS[-1]):
        made["compiled"] = partial(compiled, WORKLOADS[-1])
    return made


def contenders(workload: Workload) -> Case:
    """Bare loop, student alone, timm, torchdistill, kd live and cached."""
    steps: dict[str, Step] = {"bare loop": bare_loop(workload), "student alone": student_alone(workload)}
    notes = {}
    steps["timm LogitDistillationTask"] = timm_task(workload)
    box = torchdistill_box(workload)
    if box is None:
        notes["torchdistill"] = NO_TORCHDISTILL
    else:
        steps["torchdistill"] = box
    with contextlib.ExitStack() as stack:
        steps["kd live"] = _kd(stack, workload)
        steps["kd cached"] = _kd(stack, workload, teacher_cache=CACHE)
        close = stack.pop_all().close
    return Case(workload.name, "bare loop", steps, workload.batch, notes, close)


def options(workload: Workload) -> Case:
    """What kd's options bring."""
    steps: dict[str, Step] = {"bare loop": bare_loop(workload)}
    with contextlib.ExitStack() as stack:
        steps["kd live"] = _kd(stack, workload)
        for name, changes in OPTIONS.items():
            steps[name] = _kd(stack, workload, **changes)
        close = stack.pop_all().close
    return Case(f"options: {workload.name}", "bare loop", steps, workload.batch, close=close)


def compiled(workload: Workload) -> Case:
    """A step that is not compiled, with both models compiled, and compiled whole."""
    steps: dict[str, Step] = {}
    with contextlib.ExitStack() as stack:
        for name, value in (("kd live", False), ("models compiled", True), ("step compiled", "step")):
            steps[name] = _kd(stack, workload, train__compile=value)
        close = stack.pop_all().close
    return Case(f"compiled: {workload.name}", "kd live", steps, workload.batch, close=close)


def hints(workload: Workload) -> Case:
    """FitNet at a middle stage, whose teacher stops there; and as if it did not."""
    fitnet = {"distiller": {"name": "fitnet", "stages": [2]}}
    steps: dict[str, Step] = {"student alone": student_alone(workload)}
    with contextlib.ExitStack() as stack:
        steps["fitnet at stage 2"] = _kd(stack, workload, **fitnet)
        whole = begin(stack, workload, **fitnet)
        whole.training.distillation.teacher_passes["teacher"].stops_early = False
        steps["fitnet at stage 2, whole teacher"] = whole.step()
        close = stack.pop_all().close
    return Case(f"hints: {workload.name}", "student alone", steps, workload.batch, close=close)


def own() -> Case:
    """What is not models and loss: shown as the difference to the bare loop."""
    steps: dict[str, Step] = {"bare loop": bare_loop(TINY), "timm LogitDistillationTask": timm_task(TINY)}
    box = torchdistill_box(TINY)
    if box is not None:
        steps["torchdistill"] = box
    with contextlib.ExitStack() as stack:
        steps["kd live"] = _kd(stack, TINY)
        close = stack.pop_all().close
    return Case(TINY.name, "bare loop", steps, close=close, differences=True)


def begin(stack: contextlib.ExitStack, workload: Workload, **changes: Any) -> KdRun:
    """A run whose folder goes with the stack; its cache is full where it has one."""
    # imported late: the process whose memory is a bare loop's is to have nothing of kd in it
    from benchmarks.steps.kd import KdRun

    run = KdRun.begin(workload, **changes)
    stack.callback(run.folder.cleanup)
    if "teacher_cache" in changes:
        run.fill_cache()
    return run


def _kd(stack: contextlib.ExitStack, workload: Workload, **changes: Any) -> Step:
    return begin(stack, workload, **changes).step()


def _known(workload: Workload) -> bool:
    if not workload.student.startswith("cifar_"):
        return True
    try:
        distribution("kd-cifar-models")
    except PackageNotFoundError:
        return False
    return True
