"""Losses of several networks and of regions as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.formulations.loss import Loss

if TYPE_CHECKING:
    from torch import Tensor


def _three(logits: Tensor) -> Tensor:
    """Three teachers, or three regions: the logits, and two others that are made of them."""
    return torch.stack([logits, logits.flip(0), -logits])


def _divergences(student: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    of_student = F.log_softmax(student / temperature, dim=1)
    each = [
        F.kl_div(of_student, F.softmax(one / temperature, dim=1), reduction="none").sum(1) for one in teachers
    ]
    return torch.stack(each) * temperature**2


def ebkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """CA-MKD's authors: entropies of softmax and its logarithm."""
    teachers = _three(teacher)
    soft = F.softmax(teachers, dim=2)
    entropies = -(soft * soft.log()).sum(2)
    weights = 1 - entropies / entropies.sum(0)
    return (weights * _divergences(student, teachers, temperature)).mean()


def our_ebkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same three teachers."""
    from kd_classic import ebkd_loss

    return ebkd_loss(student, _three(teacher), temperature=temperature)


def camkd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Zhang et al.: the cross-entropy of each teacher, one after another."""
    teachers = _three(teacher)
    wrong = torch.stack([F.cross_entropy(one, target, reduction="none") for one in teachers])
    weights = (1 - F.softmax(wrong, dim=0)) / (len(teachers) - 1)
    return (weights * _divergences(student, teachers, temperature)).mean()


def our_camkd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same three teachers."""
    from kd_classic import camkd_loss

    return camkd_loss(student, _three(teacher), target, temperature=temperature)


def sdd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Luo: regions as samples, and masks of the four cases."""
    ours, theirs = (_three(one).reshape(-1, student.shape[1]) for one in (student, teacher))
    of_student = F.log_softmax(ours / temperature, dim=1)
    losses = F.kl_div(of_student, F.softmax(theirs / temperature, dim=1), reduction="none") * temperature**2
    right = theirs.argmax(1) == target.repeat(3)
    whole = right[: len(target)].repeat(3)
    weights = torch.ones_like(losses[:, 0])
    weights[right & ~whole] = 2.0
    weights[~right & whole] = 2.0
    return (losses.sum(1) * weights).sum() / len(right)


def our_sdd(student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same three regions."""
    from kd_classic import sdd_kd_loss

    ours, theirs = (_three(one).permute(1, 2, 0) for one in (student, teacher))
    return sdd_kd_loss(ours, theirs, target, temperature=temperature)


def sdd_dkd(
    student: Tensor, teacher: Tensor, target: Tensor, *, alpha: float, beta: float, temperature: float
) -> Tensor:
    """Luo: DKD with masks for regions as samples, and masks of the four cases."""
    ours, theirs = (_three(one).reshape(-1, student.shape[1]) for one in (student, teacher))
    index = target.repeat(3)
    own = torch.zeros_like(ours).scatter_(1, index.unsqueeze(1), 1)

    def two(logits: Tensor) -> Tensor:
        probabilities = F.softmax(logits / temperature, dim=1)
        return torch.stack([(probabilities * own).sum(1), (probabilities * (1 - own)).sum(1)], dim=1)

    of_target = F.kl_div(two(ours).log(), two(theirs), reduction="none").sum(1)
    others = F.log_softmax(ours / temperature - 1000.0 * own, dim=1)
    of_others = F.kl_div(others, F.softmax(theirs / temperature - 1000.0 * own, dim=1), reduction="none").sum(
        1
    )
    right = theirs.argmax(1) == index
    whole = right[: len(target)].repeat(3)
    weights = torch.ones_like(of_target)
    weights[right & ~whole] = 2.0
    weights[~right & whole] = 2.0
    return (weights * (alpha * of_target + beta * of_others)).mean() * temperature**2


def our_sdd_dkd(
    student: Tensor, teacher: Tensor, target: Tensor, *, alpha: float, beta: float, temperature: float
) -> Tensor:
    """kd's, with the same three regions."""
    from kd_classic import sdd_dkd_loss

    ours, theirs = (_three(one).permute(1, 2, 0) for one in (student, teacher))
    return sdd_dkd_loss(ours, theirs, target, alpha=alpha, beta=beta, temperature=temperature)


def average(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """CA-MKD's authors: a KD loss for each teacher, and their mean."""
    losses = [
        F.kl_div(
            F.log_softmax(student / temperature, dim=1),
            F.softmax(one / temperature, dim=1),
            reduction="batchmean",
        )
        for one in _three(teacher)
    ]
    return torch.stack(losses).mean() * temperature**2


def our_average(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, with the same three teachers."""
    from kd_classic import average_kd_loss

    return average_kd_loss(student, _three(teacher), temperature=temperature)


def dml(student: Tensor, peer: Tensor) -> Tensor:
    """Zhang et al.: both softmaxes and the logarithm of their ratio, without the 1e-8 of their code."""
    own, other = F.softmax(student, dim=1), F.softmax(peer, dim=1)
    return (other * (other / own).log()).sum(1).mean()


def cskd(student: Tensor, pair: Tensor, *, temperature: float) -> Tensor:
    """Yun et al.: KL divergence with the prediction for another sample of the class."""
    of_student = F.log_softmax(student / temperature, dim=1)
    of_pair = F.softmax(pair.detach() / temperature, dim=1)
    return F.kl_div(of_student, of_pair, reduction="batchmean") * temperature**2


LOSSES = {
    "average, three teachers": Loss(f"{__name__}:our_average", average, {"temperature": 4.0}),
    "dml": Loss("kd_classic:dml_loss", dml, {}),
    "cskd": Loss("kd_classic:cskd_loss", cskd, {"temperature": 4.0}),
    "sdd with dkd, three regions": Loss(
        f"{__name__}:our_sdd_dkd", sdd_dkd, {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, labels=True
    ),
    "ebkd, three teachers": Loss(f"{__name__}:our_ebkd", ebkd, {"temperature": 4.0}),
    "camkd, three teachers": Loss(f"{__name__}:our_camkd", camkd, {"temperature": 4.0}, labels=True),
    "sdd, three regions": Loss(f"{__name__}:our_sdd", sdd, {"temperature": 4.0}, labels=True),
}
