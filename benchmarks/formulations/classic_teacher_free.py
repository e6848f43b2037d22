"""Losses without a teacher as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from kd_classic import tfkd_reg_loss
from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def pskd(student: Tensor, previous: Tensor, target: Tensor, *, alpha: float) -> Tensor:
    """Kim et al.: the mixed targets as a matrix. What the previous predictions are makes no difference to the work."""
    one_hot = F.one_hot(target, student.shape[1]).to(student.dtype)
    soft = (1 - alpha) * one_hot + alpha * previous
    return -(soft * F.log_softmax(student, dim=1)).sum(1).mean()


def uskd(student: Tensor, weak: Tensor, target: Tensor, *, alpha: float, beta: float, mu: float) -> Tensor:
    """Yang et al.: two sorts for the ranks, and the target's column masked out."""
    index = target.unsqueeze(1)
    own = F.softmax(student, dim=1).gather(1, index)
    label = (own**2 + 1 - (own**2).mean(0, True)).detach()
    logs = F.log_softmax(student, dim=1)
    log_own = logs.gather(1, index)
    of_target = -(label * log_own).sum(1).mean()
    smooth = torch.zeros_like(student).scatter_(1, index, 0.9) + 0.1 / student.shape[1]
    of_weak = -(smooth * F.log_softmax(weak, dim=1)).sum(1).mean()
    p = F.softmax(weak, dim=1)
    score = p / (1 - p.gather(1, index) + 1e-6) + logs / (1 - log_own + 1e-6)
    rank = torch.argsort(torch.sort(score, descending=True, dim=1)[1], dim=1)
    zipf = 1 / torch.arange(1, student.shape[1] + 1, device=student.device, dtype=student.dtype)
    law = zipf.repeat(len(student), 1).gather(1, rank)
    mask = torch.ones_like(student).scatter_(1, index, 0).bool()
    others = law[mask].reshape(len(student), -1)
    others = (others / others.sum(1, keepdim=True)).detach()
    log_others = F.log_softmax(student[mask].reshape(len(student), -1), dim=1)
    return alpha * of_target + beta * -(others * log_others).sum(1).mean() + mu * of_weak


def tfkd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Yuan et al.: the virtual teacher as a matrix, with a mean over samples and classes."""
    virtual = torch.full_like(student.detach(), 0.01 / (student.shape[1] - 1))
    virtual.scatter_(1, target.unsqueeze(1), 0.99)
    of_student = F.log_softmax(student, dim=1)
    return F.kl_div(of_student, F.softmax(virtual / temperature, dim=1), reduction="none").mean()


def alone_tfkd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """kd's, which has no teacher."""
    return tfkd_reg_loss(student, target, temperature=temperature, correct_probability=0.99)


LOSSES = {
    "tfkd": Loss(f"{__name__}:alone_tfkd", tfkd, {"temperature": 20.0}, labels=True),
    "pskd": Loss("kd_classic:pskd_loss", pskd, {"alpha": 0.4}, labels=True),
    "uskd": Loss("kd_classic:uskd_loss", uskd, {"alpha": 1.0, "beta": 0.1, "mu": 0.005}, labels=True),
}
