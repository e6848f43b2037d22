"""Losses of the distillation token as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def deit_soft(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Touvron et al.: the mean over all elements, of log-probabilities."""
    of_student = F.log_softmax(student / temperature, dim=1)
    of_teacher = F.log_softmax(teacher / temperature, dim=1)
    apart = F.kl_div(of_student, of_teacher, reduction="sum", log_target=True)
    return apart * temperature**2 / student.numel()


def deit_hard(student: Tensor, teacher: Tensor) -> Tensor:
    """Touvron et al.: the teacher's decision as the label."""
    return F.cross_entropy(student, teacher.argmax(dim=1))


LOSSES = {
    "deit-soft": Loss("kd_classic:deit_soft_loss", deit_soft, {"temperature": 1.0}),
    "deit-hard": Loss("kd_classic:deit_hard_loss", deit_hard, {}),
}
