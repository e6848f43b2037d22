"""The losses as their authors compute them, written from their formulas: what kd's are measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable


def kd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Hinton et al.: the divergence of softened probabilities."""
    of_student = F.log_softmax(student / temperature, dim=1)
    return (
        F.kl_div(of_student, F.softmax(teacher / temperature, dim=1), reduction="batchmean") * temperature**2
    )


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


def ofa(student: Tensor, teacher: Tensor, target: Tensor, *, eps: float, temperature: float) -> Tensor:
    """Hao et al.: with one-hot targets."""
    one_hot = F.one_hot(target, student.shape[1]).float()
    p, q = F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
    factors = (q + one_hot) ** eps - one_hot
    loss: Tensor = -(factors * p.log()).sum(dim=1).mean()
    return loss


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


def at(student: Tensor, teacher: Tensor) -> Tensor:
    """Zagoruyko and Komodakis: means of squares."""
    p, q = (F.normalize(one.pow(2).mean(1).flatten(1)) for one in (student, teacher))
    return (p - q).pow(2).mean()


def sp(student: Tensor, teacher: Tensor) -> Tensor:
    """Tung and Mori: products of flattened maps."""
    p, q = (F.normalize(one.flatten(1) @ one.flatten(1).T) for one in (student, teacher))
    return (q - p).pow(2).sum() / len(p) ** 2


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


FORMULATIONS: dict[str, Callable[..., Any]] = {
    "kd": kd,
    "dkd": dkd,
    "nkd": nkd,
    "dist": dist,
    "ofa": ofa,
    "rkd, distances": rkd_distance,
    "rkd, angles": rkd_angle,
    "pkt": pkt,
    "cc": cc,
    "at": at,
    "sp": sp,
    "fitnet": hint,
    "vid": vid,
    "nst": nst,
}
