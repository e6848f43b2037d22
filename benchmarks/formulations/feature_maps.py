"""Losses of feature maps as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from benchmarks.formulations.loss import MAP, NARROW, Loss

if TYPE_CHECKING:
    from torch import Tensor


def at(student: Tensor, teacher: Tensor) -> Tensor:
    """Zagoruyko and Komodakis: means of squares."""
    p, q = (F.normalize(one.pow(2).mean(1).flatten(1)) for one in (student, teacher))
    return (p - q).pow(2).mean()


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Romero et al."""
    return F.mse_loss(student, teacher)


def vid(student: Tensor, teacher: Tensor, log_scale: Tensor) -> Tensor:
    """Ahn et al.: a Gaussian of each channel."""
    variance = ((1 + log_scale.exp()).log() + 1e-5).view(1, -1, 1, 1)
    return (0.5 * ((student - teacher) ** 2 / variance + variance.log())).mean()


def nst(student: Tensor, teacher: Tensor) -> Tensor:
    """Huang and Wang: products of every two channels, place by place."""
    p, q = (F.normalize(one.flatten(2), dim=2) for one in (student, teacher))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.unsqueeze(1) * b.unsqueeze(2)).sum(-1).pow(2).mean()

    return kernel(q, q).detach() + kernel(p, p) - 2 * kernel(p, q)


LOSSES = {
    "at": Loss("kd_feature:at_loss", at, {}, MAP),
    "fitnet": Loss("kd_feature:hint_loss", hint, {}, MAP),
    "vid": Loss("kd_feature.vid:vid_loss", vid, {}, MAP, channels=True),
    "nst": Loss("kd_feature:nst_loss", nst, {}, NARROW),
}
