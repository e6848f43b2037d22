"""Loops that anybody would write: the floor, and the student alone."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.steps.workload import KD_WEIGHT, TASK_WEIGHT, TEMPERATURE, Workload, optimizer

if TYPE_CHECKING:
    from benchmarks.rounds import Step


def bare_loop(workload: Workload) -> Step:
    """KD with nothing around it."""
    teacher = workload.frozen_teacher()
    student = workload.model(workload.student).train()
    step_of = optimizer(student)
    batches = cycle(workload.images())

    def step() -> None:
        images, target = next(batches)
        with torch.inference_mode():
            teacher_logits = teacher(images)
        logits = student(images)
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


def student_alone(workload: Workload) -> Step:
    """No teacher: what a teacher that costs nothing comes down to."""
    student = workload.model(workload.student).train()
    step_of = optimizer(student)
    batches = cycle(workload.images())

    def step() -> None:
        images, target = next(batches)
        F.cross_entropy(student(images), target).backward()  # type: ignore[no-untyped-call]
        step_of.step()
        step_of.zero_grad(set_to_none=True)

    return step
