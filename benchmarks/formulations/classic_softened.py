"""Losses of softened class probabilities as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def kd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Hinton et al.: the divergence of softened probabilities."""
    of_student = F.log_softmax(student / temperature, dim=1)
    return (
        F.kl_div(of_student, F.softmax(teacher / temperature, dim=1), reduction="batchmean") * temperature**2
    )


LOSSES = {
    "kd": Loss("kd_classic:kd_loss", kd, {"temperature": 4.0}),
}
