"""What the losses of several teachers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore import ModelOutput, Setup


def prepare_several(
    student_logits: Tensor, teacher_logits: Tensor, *, at_least: int = 1
) -> tuple[Tensor, Tensor]:
    """The student's logits `[B, K]` and those of the teachers `[M, B, K]`, as `prepare_logits` does for one.

    Raises:
        ValueError: shapes or types do not fit, or there are fewer teachers than `at_least`.
    """
    if teacher_logits.dim() != 3 or len(teacher_logits) < 1:
        raise ValueError(f"teacher_logits has shape {list(teacher_logits.shape)}; it must be [M, B, K]")
    if len(teacher_logits) < at_least:
        raise ValueError(f"there is one teacher, and this loss weighs at least {at_least} against each other")
    student, _ = prepare_logits(student_logits, teacher_logits[0])
    return student, teacher_logits.detach().to(student.dtype)


def divergences_of_each(student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """T^2 * KL for each teacher and sample, `[M, B]`."""
    check_positive("temperature", temperature)
    log_student = F.log_softmax(student / temperature, dim=1)  # once for all teachers

    def of(teacher: Tensor) -> Tensor:
        log_teacher = F.log_softmax(teacher / temperature, dim=1)
        return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1) * temperature**2

    return torch.stack([of(teacher) for teacher in teachers])


def require_several(setup: Setup, distiller: str) -> None:
    """Refuse a run with one teacher.

    Raises:
        ValueError: there are not two teachers or more.
    """
    if len(setup.teachers) < 2:
        raise ValueError(
            f"{distiller} weighs teachers against each other, and the run has {len(setup.teachers)}: "
            "give 'teacher' as a list of two or more, each with a 'name'"
        )


def logits_of_all(student: ModelOutput, teachers: Mapping[str, ModelOutput]) -> tuple[Tensor, Tensor]:
    """The student's logits `[B, K]` and those of all teachers `[M, B, K]`, in the order of the spec.

    Raises:
        ValueError: a model gives no logits.
    """
    found = [one.logits for one in teachers.values() if one.logits is not None]
    if student.logits is None or len(found) < len(teachers):
        raise ValueError("the logits of the student and of every teacher are needed")
    return student.logits, torch.stack(found)
