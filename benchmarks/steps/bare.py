"""Loops that anybody would write: the floor, and the student alone."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from benchmarks.steps.workload import KD_WEIGHT, TASK_WEIGHT, TEMPERATURE, Workload, optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from benchmarks.rounds import Step


def bare_loop(
    workload: Workload,
    fast: bool = False,
    compiled: bool = False,
    parallel: Callable[[nn.Module], nn.Module] | None = None,
) -> Step:
    """KD with nothing around it; `fast`: in bf16 and channels-last; `parallel`: what joins several processes."""
    teacher: Any = workload.teacher_passes()
    student: Any = workload.model(workload.student).train()
    step_of = optimizer(student)
    teacher, student = (prepared(one, fast, compiled) for one in (teacher, student))
    if parallel is not None:
        student = parallel(student)
    batches = cycle(ordered(workload.images(), fast))

    def step() -> None:
        images, target = next(batches)
        with precision(images, fast):
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


def student_alone(workload: Workload, fast: bool = False, compiled: bool = False) -> Step:
    """No teacher: what a teacher that costs nothing comes down to."""
    student: Any = workload.model(workload.student).train()
    step_of = optimizer(student)
    student = prepared(student, fast, compiled)
    batches = cycle(ordered(workload.images(), fast))

    def step() -> None:
        images, target = next(batches)
        with precision(images, fast):
            logits = student(images).float()
        F.cross_entropy(logits, target).backward()  # type: ignore[no-untyped-call]
        step_of.step()
        step_of.zero_grad(set_to_none=True)

    return step


def prepared(model: nn.Module, fast: bool, compiled: bool) -> Any:
    """The model, in channels-last order and compiled, if asked for."""
    if fast:
        model = model.to(memory_format=torch.channels_last)
    return torch.compile(model) if compiled else model


def ordered(batches: list[tuple[Tensor, Tensor]], fast: bool) -> list[tuple[Tensor, Tensor]]:
    """The images in the models' order."""
    memory_format = torch.channels_last if fast else torch.contiguous_format
    return [(images.contiguous(memory_format=memory_format), target) for images, target in batches]


def precision(images: Tensor, fast: bool) -> torch.autocast:
    """Autocast to bf16, if asked for."""
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=fast)
