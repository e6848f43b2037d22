"""Losses of the target class apart from the others as their authors compute them, written from their formulas."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import torch
from kd_classic import wkd_logit_loss
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


def rld(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    alpha_temperature: float,
) -> Tensor:
    """Sun et al.: masks of the target and of what is above it."""
    index = target.unsqueeze(1)

    def two(logits: Tensor, mask: Tensor) -> Tensor:
        p = F.softmax(logits / alpha_temperature, dim=1)
        return torch.cat([(p * mask).sum(1, keepdim=True), (p * ~mask).sum(1, keepdim=True)], dim=1)

    own = torch.zeros_like(student).scatter_(1, index, 1).bool()
    top = torch.zeros_like(student).scatter_(1, teacher.argmax(1, keepdim=True), 1).bool()
    confidence = F.kl_div(two(student, own).log(), two(teacher, top), reduction="batchmean")
    above = torch.where(teacher >= teacher.gather(1, index), 1, 0).bool()
    of_teacher = F.softmax((teacher / temperature).masked_fill(above, -1e9), dim=1)
    of_student = F.log_softmax((student / temperature).masked_fill(above, -1e9), dim=1)
    correlation = F.kl_div(of_student, of_teacher, reduction="batchmean")
    return alpha * alpha_temperature**2 * confidence + beta * temperature**2 * correlation


def wsld(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Zhou et al.: weights from both cross-entropies."""
    soft = F.softmax(teacher / temperature, dim=1)
    loss = -(soft * F.log_softmax(student / temperature, dim=1)).sum(1)
    errors = [F.cross_entropy(one.detach(), target, reduction="none") for one in (student, teacher)]
    weight = 1 - torch.exp(-errors[0] / (errors[1] + 1e-7))
    return (weight * loss).mean() * temperature**2


def ldrld(
    student: Tensor, teacher: Tensor, *, alpha: float, beta: float, temperature: float, top_k: int
) -> Tensor:
    """Xu et al.: a softmax over all classes for each set of classes, with 1000 off the others."""
    top_k = min(top_k, student.shape[1])
    top = student.topk(top_k, dim=1).indices
    sets = [*combinations(range(top_k), 2), tuple(range(top_k))]

    def divergence(mask: Tensor) -> Tensor:
        of_teacher = F.softmax(teacher / temperature - 1000.0 * mask, dim=1)
        of_student = F.log_softmax(student / temperature - 1000.0 * mask, dim=1)
        return F.kl_div(of_student, of_teacher, reduction="sum") * temperature**2 / len(student)

    total = student.new_zeros(())
    for ranks in sets:
        mask = torch.ones_like(student).scatter_(1, top[:, list(ranks)], 0).bool()
        apart = abs(ranks[0] - ranks[1])
        decay = float(torch.tensor(-0.05 * (ranks[0] + ranks[1] + 2)).exp())
        total = total + (2 / (1.5 + apart) * decay if len(ranks) == 2 else 1.0) * divergence(mask)
    if top_k == student.shape[1]:  # 1000 off all logits would compare all classes
        return alpha * total / len(sets)
    others = torch.zeros_like(student).scatter_(1, top, 1).bool()
    return alpha * total / len(sets) + beta * divergence(others)


@cache
def _cost(classes: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """1 - the cosines of random rows."""
    rows = F.normalize(torch.randn(classes, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    return (1 - rows @ rows.T).to(device, dtype)


def wkd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float, gamma: float) -> Tensor:
    """Lv et al.: a matrix of costs for each sample, without its target."""
    samples, classes = student.shape
    index = target.unsqueeze(1)
    own = -(F.softmax(teacher, dim=1) * F.log_softmax(student, dim=1)).gather(1, index).mean()
    mask = torch.ones_like(student).scatter_(1, index, 0).bool()
    p, q = (
        F.softmax(one[mask].reshape(samples, -1) / temperature, dim=1).unsqueeze(2)
        for one in (student, teacher)
    )
    both = mask.unsqueeze(1) * mask.unsqueeze(2)
    cost = (
        _cost(classes, student.device, student.dtype)
        .repeat(samples, 1, 1)[both]
        .reshape(samples, classes - 1, -1)
    )
    cost = F.relu(cost) + 1e-8
    kernel = torch.exp(-cost / 0.05)
    u = v = torch.ones_like(p) / (classes - 1)
    for _ in range(10):
        v = q / (torch.bmm(kernel.transpose(2, 1), u) + 1e-8)
        u = p / (torch.bmm(kernel, v) + 1e-8)
    flow = u * kernel * v.transpose(1, 2)
    return own + gamma * (flow * cost).sum((1, 2)).mean()


def costed_wkd(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float, gamma: float
) -> Tensor:
    """kd's, which is given the costs."""
    cost = _cost(student.shape[1], student.device, student.dtype)
    return wkd_logit_loss(
        student,
        teacher,
        target,
        cost,
        temperature=temperature,
        gamma=gamma,
        regularization=0.05,
        iterations=10,
    )


LOSSES = {
    "dkd": Loss("kd_classic:dkd_loss", dkd, {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, labels=True),
    "nkd": Loss("kd_classic:nkd_loss", nkd, {"gamma": 1.5, "temperature": 1.0}, labels=True),
    "rld": Loss(
        "kd_classic:rld_loss",
        rld,
        {"alpha": 1.0, "beta": 8.0, "temperature": 4.0, "alpha_temperature": 4.0},
        labels=True,
    ),
    "wsld": Loss("kd_classic:wsld_loss", wsld, {"temperature": 2.0}, labels=True),
    "ldrld": Loss(
        "kd_classic:ldrld_loss", ldrld, {"alpha": 10.5, "beta": 7.0, "temperature": 4.0, "top_k": 7}
    ),
    "wkd": Loss(
        f"{__name__}:costed_wkd", wkd, {"temperature": 8.0, "gamma": 600.0}, labels=True, most_classes=1000
    ),
}
