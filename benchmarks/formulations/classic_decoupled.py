"""Losses of the target class apart from the others as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import Loss


def dkd(
    student: Tensor, teacher: Tensor, target: Tensor, *, alpha: float, beta: float, temperature: float
) -> Tensor:
    """Zhao et al.: one-hot masks, and 1000 off the target's logit."""
    own = torch.zeros_like(student).scatter_(1, target.unsqueeze(1), 1)
    others = torch.ones_like(student).scatter_(1, target.unsqueeze(1), 0)

    def two(logits: Tensor) -> Tensor:
        p = F.softmax(logits / temperature, dim=1)
        return torch.cat([(p * own).sum(1, keepdim=True), (p * others).sum(1, keepdim=True)], dim=1)

    scale = temperature**2 / len(student)
    tckd = F.kl_div(two(student).log(), two(teacher), reduction="sum") * scale
    teacher_others = F.softmax(teacher / temperature - 1000 * own, dim=1)
    student_others = F.log_softmax(student / temperature - 1000 * own, dim=1)
    return alpha * tckd + beta * F.kl_div(student_others, teacher_others, reduction="sum") * scale


def nkd(student: Tensor, teacher: Tensor, target: Tensor, *, gamma: float, temperature: float) -> Tensor:
    """Yang et al.: the target's column is masked out."""
    index = target.unsqueeze(1)
    score = F.softmax(teacher, dim=1).gather(1, index)
    own = -(score * F.log_softmax(student, dim=1).gather(1, index)).mean()
    mask = torch.ones_like(student).scatter_(1, index, 0).bool()
    student_others, teacher_others = (one[mask].reshape(len(one), -1) for one in (student, teacher))
    log_student = F.log_softmax(student_others / temperature, dim=1)
    others = -(F.softmax(teacher_others / temperature, dim=1) * log_student).sum(dim=1).mean()
    return own + gamma * temperature**2 * others


LOSSES = {
    "dkd": Loss("kd_classic:dkd_loss", dkd, {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, labels=True),
    "nkd": Loss("kd_classic:nkd_loss", nkd, {"gamma": 1.5, "temperature": 1.0}, labels=True),
}
