"""Losses of softened class probabilities as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from kd_classic import tekap_loss
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


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL of each sample, `[B]`."""
    of_student = F.log_softmax(student / temperature, dim=1)
    return F.kl_div(of_student, F.softmax(teacher / temperature, dim=1), reduction="none").sum(1)


def ttm(student: Tensor, teacher: Tensor, *, gamma: float) -> Tensor:
    """Zheng and Yang: the powers of probabilities, normalised again."""
    powers = F.softmax(teacher, dim=1) ** gamma
    soft = powers / powers.sum(1, keepdim=True)
    return F.kl_div(F.log_softmax(student, dim=1), soft, reduction="batchmean")


def wttm(student: Tensor, teacher: Tensor, *, gamma: float) -> Tensor:
    """Zheng and Yang: the same, times the sum of the powers."""
    powers = F.softmax(teacher, dim=1) ** gamma
    total = powers.sum(1)
    soft = powers / total.unsqueeze(1)
    divergence = F.kl_div(F.log_softmax(student, dim=1), soft, reduction="none").sum(1)
    return (total * divergence).mean()


def bkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Hao et al.: a sigmoid and its two logarithms."""
    q, p = torch.sigmoid(student), F.softmax(teacher, dim=1)
    return F.binary_cross_entropy(q, p)


def mld(student: Tensor, teacher: Tensor) -> Tensor:
    """Yang et al.: clamped sigmoids, and two divergences."""
    eps = 1e-8
    p, q = (torch.sigmoid(one).clamp(eps, 1 - eps) for one in (student, teacher))
    yes = F.kl_div(p.log(), q, reduction="none")
    return (yes + F.kl_div((1 - p).log(), 1 - q, reduction="none")).sum() / len(student)


def our_mld(student: Tensor, teacher: Tensor) -> Tensor:
    """kd's, with the authors' temperature."""
    from kd_classic import mld_loss

    return mld_loss(student, teacher, temperature=1.0)


def normkd(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Chi et al.: a temperature of each sample."""
    own = [one.std(dim=1, keepdim=True) * temperature for one in (student, teacher)]
    of_student = F.log_softmax(student / own[0], dim=1)
    divergence = F.kl_div(of_student, F.softmax(teacher / own[1], dim=1), reduction="none").sum(
        1, keepdim=True
    )
    return (divergence * own[1] ** 2).mean()


def luminet(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Hossain et al.: standardised over the batch."""
    seen = [
        (one - one.mean(0, keepdim=True)) / torch.sqrt(one.var(0, keepdim=True, correction=0) + 1e-5)
        for one in (student, teacher)
    ]
    return _divergence(seen[0], seen[1], temperature).mean()


def eakd(
    student: Tensor, teacher: Tensor, *, temperature: float, entropy_temperature: float, entropy_bound: float
) -> Tensor:
    """Su et al.: weights from the entropies of both."""
    entropies = []
    for one in (student, teacher):
        p = F.softmax(one / entropy_temperature, dim=1)
        entropies.append(-(p * torch.log(p + 1e-10)).sum(1))
    weight = (entropies[1] + entropies[1] * entropies[0] / entropy_bound) / 2
    return (weight.detach() * temperature**2 * _divergence(student, teacher, temperature)).mean()


def abkd(student: Tensor, teacher: Tensor, *, alpha: float, beta: float, temperature: float) -> Tensor:
    """Wang et al.: powers of both probabilities."""
    q, p = F.softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1)
    both = alpha + beta
    rest = alpha / both * p**both + beta / both * q**both
    return -((p**alpha * q**beta - rest).sum(1) / (alpha * beta)).mean()


def _noise(teacher: Tensor) -> Tensor:
    """The noise of three teachers, the same in each call."""
    generator = torch.Generator(teacher.device).manual_seed(0)
    return torch.randn(3, *teacher.shape, generator=generator, device=teacher.device)


def tekap(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Hossain et al.: three noisy teachers."""
    of_student = F.log_softmax(student / temperature, dim=1)

    def divergence(logits: Tensor) -> Tensor:
        soft = F.softmax(logits / temperature, dim=1)
        return F.kl_div(of_student, soft, reduction="sum") * temperature**2 / len(student)

    noise = _noise(teacher)
    noisy = [one * 0.1 + teacher * 0.9 for one in noise]
    return divergence(teacher) + 0.8 * sum(divergence(one) for one in noisy)


def drawn_tekap(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """kd's, which is given the noise."""
    return tekap_loss(
        student, teacher, _noise(teacher), temperature=temperature, noise_weight=0.1, augmented_weight=0.8
    )


LOSSES = {
    "kd": Loss("kd_classic:kd_loss", kd, {"temperature": 4.0}),
    "ttm": Loss("kd_classic:ttm_loss", ttm, {"gamma": 0.1}),
    "wttm": Loss("kd_classic:wttm_loss", wttm, {"gamma": 0.2}),
    "bkd": Loss("kd_classic:bkd_loss", bkd, {}),
    "mld": Loss(f"{__name__}:our_mld", mld, {}),
    "normkd": Loss("kd_classic:normkd_loss", normkd, {"temperature": 2.0}),
    "luminet": Loss("kd_classic:luminet_loss", luminet, {"temperature": 4.0}),
    "eakd": Loss(
        "kd_classic:ea_kd_loss",
        eakd,
        {"temperature": 4.0, "entropy_temperature": 3.0, "entropy_bound": 100.0},
    ),
    "abkd": Loss("kd_classic:abkd_loss", abkd, {"alpha": 0.8, "beta": 0.3, "temperature": 4.0}),
    "tekap": Loss(f"{__name__}:drawn_tekap", tekap, {"temperature": 4.0}),
}
