"""Losses with a trained temperature or a second head as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def ctkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Li et al.: the gradient of the raw temperature is reversed on its way back."""
    raw = student.new_full((1,), temperature, requires_grad=True)
    raw.register_hook(lambda gradient: -gradient)  # type: ignore[no-untyped-call]
    learned = 1 + 20 * torch.sigmoid(raw)
    of_student = F.log_softmax(student / learned, dim=1)
    of_teacher = F.softmax(teacher / learned, dim=1)
    return (F.kl_div(of_student, of_teacher, reduction="none").sum(1) * learned * learned).mean()


def our_ctkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the raw temperature that the other has."""
    from kd_classic import ctkd_loss

    raw = student.new_full((1,), temperature, requires_grad=True)
    return ctkd_loss(student, teacher, raw, reversal=1.0, minimum=1.0, span=20.0)


def dhkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Yang et al.: the binary divergence of one half and a sigmoid."""
    d = torch.sigmoid((student - teacher) / temperature)
    half = torch.full_like(d, 0.5)
    apart = F.kl_div(d.log(), half, reduction="none") + F.kl_div((1 - d).log(), half, reduction="none")
    return apart.sum(1).mean() * temperature**2


LOSSES = {
    "ctkd": Loss(f"{__name__}:our_ctkd", ctkd, {"temperature": 1.0}),
    "dhkd": Loss("kd_classic:dhkd_loss", dhkd, {"temperature": 2.0}),
}
