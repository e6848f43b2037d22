"""Losses of relations between classes and samples as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import Loss


def dist(student: Tensor, teacher: Tensor, *, beta: float, gamma: float, temperature: float) -> Tensor:
    """Huang et al.: Pearson's correlation as the cosine of what is centred."""

    def apart(a: Tensor, b: Tensor) -> Tensor:
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
        loss: Tensor = 1 - ((a * b).sum(1) / (norms + 1e-8)).mean()
        return loss

    p, q = F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
    inter, intra = apart(p, q), apart(p.T, q.T)
    return temperature**2 * (beta * inter + gamma * intra)


def skd(student: Tensor, teacher: Tensor, *, tikhonov: float) -> Tensor:
    """The directions of SKD: an inverse of the covariance, and a square root."""
    ours, theirs = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    difference = (ours @ ours.T - theirs @ theirs.T) / student.shape[1]
    covariance = torch.cov(difference.T) + tikhonov * torch.eye(len(student), device=student.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    return torch.einsum("bi,ij,bj->b", difference, inverse, difference).sqrt().mean()


LOSSES = {
    "dist": Loss("kd_classic:dist_loss", dist, {"beta": 1.0, "gamma": 1.0, "temperature": 4.0}),
    "skd": Loss("kd_classic:skd_direction_loss", skd, {"tikhonov": 0.1}),
}
