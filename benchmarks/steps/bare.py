"""Loops that anybody would write: the floor, and the student alone."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from benchmarks.steps.workload import KD_WEIGHT, TASK_WEIGHT, TEMPERATURE, Workload, optimizer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.rounds import Step


def bare_loop(workload: Workload, fast: bool = False) -> Step:
    """KD with nothing around it; `fast`: in bf16, channels-last and compiled."""
    teacher: Any = workload.teacher_passes()
    student: Any = workload.model(workload.student).train()
    step_of = optimizer(student)
    if fast:
        teacher, student = _compiled(teacher), _compiled(student)
    batches = cycle(_ordered(workload.images(), fast))

    def step() -> None:
        images, target = next(batches)
        with _precision(images, fast):
            with torch.inference_mode():
                teacher_logits = teacher(images).float()
            logits = student(images).float()
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, dim=1),
            F.softmax(teacher_logits / TEMPERATURE, dim=1),
            reduction="batchmean",
        )
        loss = TASK_WEIGHT * F.cross_entropy(logits, target) + KD_WEIGHT * TEMPERATURE**2 * soft
        loss.backward()  # type: ignore[no-untyped-call]
        step_of.step()
        step_of.zero_grad(set_to_none=True)

    return step


def student_alone(workload: Workload, fast: bool = False) -> Step:
    """No teacher: what a teacher that costs nothing comes down to."""
    student: Any = workload.model(workload.student).train()
    step_of = optimizer(student)
    if fast:
        student = _compiled(student)
    batches = cycle(_ordered(workload.images(), fast))

    def step() -> None:
        images, target = next(batches)
        with _precision(images, fast):
            logits = student(images).float()
        F.cross_entropy(logits, target).backward()  # type: ignore[no-untyped-call]
        step_of.step()
        step_of.zero_grad(set_to_none=True)

    return step


def _compiled(model: nn.Module) -> Any:
    return torch.compile(model.to(memory_format=torch.channels_last))


def _ordered(batches: list[tuple[Tensor, Tensor]], fast: bool) -> list[tuple[Tensor, Tensor]]:
    memory_format = torch.channels_last if fast else torch.contiguous_format
    return [(images.contiguous(memory_format=memory_format), target) for images, target in batches]


def _precision(images: Tensor, fast: bool) -> torch.autocast:
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=fast)
