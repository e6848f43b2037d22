"""Losses of OFA as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def ofa(student: Tensor, teacher: Tensor, target: Tensor, *, eps: float, temperature: float) -> Tensor:
    """Hao et al.: with one-hot targets."""
    one_hot = F.one_hot(target, student.shape[1]).float()
    p, q = F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
    factors = (q + one_hot) ** eps - one_hot
    loss: Tensor = -(factors * p.log()).sum(dim=1).mean()
    return loss


LOSSES = {
    "ofa": Loss("kd_ofa:ofa_loss", ofa, {"eps": 1.5, "temperature": 1.0}, labels=True),
}
