"""Other tools' own step code, around the same models and batches."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import cycle
from typing import TYPE_CHECKING, Any

from benchmarks.device import device
from benchmarks.steps.bare import ordered, precision, prepared
from benchmarks.steps.workload import (
    KD_WEIGHT,
    LR,
    MOMENTUM,
    TASK_WEIGHT,
    TEMPERATURE,
    WEIGHT_DECAY,
    Workload,
    optimizer,
)

if TYPE_CHECKING:
    from benchmarks.rounds import Step

NO_TORCHDISTILL = "not installed: uv run --group bench"


def timm_task(workload: Workload, fast: bool = False, compiled: bool = False) -> Step:
    """The step of timm's `LogitDistillationTask` in a bare loop; compiled in its own way."""
    from timm.task import LogitDistillationTask
    from torch import nn

    student = prepared(workload.model(workload.student), fast, compiled=False)
    student.pretrained_cfg = _normalised(student)
    teacher = prepared(workload.teacher_passes(), fast, compiled=False)
    teacher.pretrained_cfg = _normalised(teacher)
    task = LogitDistillationTask(
        student,
        teacher,
        criterion=nn.CrossEntropyLoss(),
        distill_loss_weight=KD_WEIGHT,
        task_loss_weight=TASK_WEIGHT,
        temperature=TEMPERATURE,
        device=device(),
        verbose=False,
    ).train()
    if compiled:
        task.compile()
    step_of = optimizer(student)
    batches = cycle(ordered(workload.images(), fast))

    def step() -> None:
        images, target = next(batches)
        with precision(images, fast):
            loss = task(images, target)["loss"]
        loss.backward()
        step_of.step()
        step_of.zero_grad(set_to_none=True)

    return step


def _normalised(model: Any) -> Any:
    """The task wants to know how images were normalised; where both models say the same, it changes nothing."""
    known = getattr(model, "pretrained_cfg", None)
    return known if known else {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def torchdistill_box(workload: Workload, fast: bool = False, compiled: bool = False) -> Step | None:
    """The step of torchdistill's `DistillationBox`, driven as in its example; None: not installed."""
    if find_spec("torchdistill") is None:
        return None
    import logging

    from torchdistill.core.distillation import DistillationBox

    logging.getLogger("torchdistill").setLevel(logging.WARNING)
    whole = {"student_module_path": ".", "student_module_io": "output"}
    whole |= {"teacher_module_path": ".", "teacher_module_io": "output"}
    kd = {"key": "KDLoss", "kwargs": {**whole, "temperature": TEMPERATURE, "alpha": TASK_WEIGHT}}
    weighted = {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": kd, "weight": 1.0}}}}
    box = DistillationBox(
        prepared(workload.teacher_passes(), fast, compiled),
        prepared(workload.model(workload.student).train(), fast, compiled),
        {},
        {
            "num_epochs": 1,
            "teacher": {"requires_grad": False, "forward_proc": "forward_batch_only"},
            "student": {"forward_proc": "forward_batch_only"},
            "criterion": weighted,
            "optimizer": {
                "key": "SGD",
                "kwargs": {
                    "lr": LR,
                    "momentum": MOMENTUM,
                    "weight_decay": WEIGHT_DECAY,
                    "nesterov": True,
                },
            },
        },
        device(),
        [],
        False,
        1.0,
    )
    box.pre_epoch_process(epoch=0)
    box.teacher_model.eval()
    batches = cycle(ordered(workload.images(), fast))

    def step() -> float:
        images, target = next(batches)
        box.pre_forward_process()
        with precision(images, fast):
            loss = box.forward_process(images, target, supp_dict={})
        box.post_forward_process(loss=loss)
        value: float = loss.item()  # its example logs the loss of each step
        return value

    return step
