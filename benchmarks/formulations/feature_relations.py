"""Losses of relations between samples as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import EMBEDDING, MAP, Loss


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Park et al.: distances from squares and products."""

    def distances(e: Tensor) -> Tensor:
        squares = e.pow(2).sum(dim=1)
        found = (squares.unsqueeze(1) + squares.unsqueeze(0) - 2 * (e @ e.T)).clamp(min=1e-12).sqrt()
        found = found.clone()
        found[range(len(e)), range(len(e))] = 0
        return found / found[found > 0].mean()

    with torch.no_grad():
        expected = distances(teacher)
    return F.smooth_l1_loss(distances(student), expected)


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Park et al.: all differences `[B, B, D]`."""

    def angles(e: Tensor) -> Tensor:
        unit = F.normalize(e.unsqueeze(0) - e.unsqueeze(1), dim=2)
        return torch.bmm(unit, unit.mT).flatten()

    with torch.no_grad():
        expected = angles(teacher)
    return F.smooth_l1_loss(angles(student), expected)


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """Passalis and Tefas: with the cosine kernel."""

    def neighbours(e: Tensor) -> Tensor:
        e = e / (e.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-7)
        alike = (e @ e.T + 1) / 2
        return alike / alike.sum(dim=1, keepdim=True)

    p, q = neighbours(student), neighbours(teacher)
    return (q * ((q + 1e-7) / (p + 1e-7)).log()).mean()


def cc(student: Tensor, teacher: Tensor) -> Tensor:
    """Peng et al., as in RepDistiller."""
    apart = (student - teacher).abs()
    return (apart[:-1] * apart[1:]).sum(dim=1).mean()


def sp(student: Tensor, teacher: Tensor) -> Tensor:
    """Tung and Mori: products of flattened maps."""
    p, q = (F.normalize(one.flatten(1) @ one.flatten(1).T) for one in (student, teacher))
    return (q - p).pow(2).sum() / len(p) ** 2


LOSSES = {
    "rkd, distances": Loss("kd_feature:rkd_distance_loss", rkd_distance, {}, EMBEDDING),
    "rkd, angles": Loss("kd_feature:rkd_angle_loss", rkd_angle, {}, EMBEDDING),
    "pkt": Loss("kd_feature:pkt_loss", pkt, {}, EMBEDDING),
    "cc": Loss("kd_feature:cc_loss", cc, {}, EMBEDDING),
    "sp": Loss("kd_feature:sp_loss", sp, {}, MAP),
}
