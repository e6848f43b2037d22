"""Losses of several layers, of copies and of classifiers as their authors compute them, written from their formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.formulations.loss import MAP, NARROW, TOKENS, Loss

if TYPE_CHECKING:
    from torch import Tensor

_COPIES = 4


def srrl(
    student: Tensor, teacher: Tensor, crossed_logits: Tensor, teacher_logits: Tensor, beta: float
) -> Tensor:
    """Yang et al.: the pooled features, and the logits of the teacher's classifier."""
    pooled = [F.adaptive_avg_pool2d(one, 1).flatten(1) for one in (student, teacher)]
    return ((pooled[0] - pooled[1]) ** 2).mean() + beta * F.mse_loss(crossed_logits, teacher_logits)


def _logits(shape: tuple[int, ...], samples: int) -> dict[str, Tensor]:
    return {name: torch.randn(samples, 100) for name in ("crossed_logits", "teacher_logits")}


def fsp(student: Tensor, teacher: Tensor) -> Tensor:
    """Yim et al., as RepDistiller: all products of both maps, then their mean over the places."""

    def products(first: Tensor, second: Tensor) -> Tensor:
        return (first.flatten(2).unsqueeze(1) * second.flatten(2).unsqueeze(2)).mean(-1)

    ours, theirs = (products(one, one.flip(1)) for one in (student, teacher))
    return (ours - theirs).pow(2).mean()


def our_fsp(student: Tensor, teacher: Tensor) -> Tensor:
    """kd's, with the same pairs of maps."""
    from kd_feature import fsp_loss

    return fsp_loss(student, student.flip(1), teacher, teacher.flip(1))


def norm(student: Tensor, teacher: Tensor) -> Tensor:
    """Liu et al.: the teacher's map repeated for all copies of the student."""
    theirs = teacher[:, : teacher.shape[1] // _COPIES].repeat(1, _COPIES, 1, 1)
    return _COPIES * F.mse_loss(student, theirs)


def our_norm(student: Tensor, teacher: Tensor) -> Tensor:
    """kd's, with the same map."""
    from kd_feature import norm_loss

    return norm_loss(student, teacher[:, : teacher.shape[1] // _COPIES])


def vitkd_mimic(student: Tensor, teacher: Tensor) -> Tensor:
    """Yang et al.: the sum of the squared differences of one block."""
    return F.mse_loss(student, teacher, reduction="sum") / len(student)


def our_vitkd_mimic(student: Tensor, teacher: Tensor) -> Tensor:
    """kd's, with the same block."""
    from kd_feature import vitkd_mimic_loss

    return vitkd_mimic_loss(student.unsqueeze(1), teacher.unsqueeze(1))


def vitkd_generation(student: Tensor, teacher: Tensor, mask: Tensor, mask_ratio: float) -> Tensor:
    """Yang et al.: both times the mask, summed."""
    mask = mask.unsqueeze(-1)
    return F.mse_loss(student * mask, teacher * mask, reduction="sum") / len(student) / mask_ratio


def _mask(shape: tuple[int, ...], samples: int) -> dict[str, Tensor]:
    return {"mask": (torch.rand(samples, shape[0]) < 0.5).float()}


def semckd(pair_losses: Tensor, attention: Tensor) -> Tensor:
    """Chen et al.: the sum over all pairs of layers."""
    return (attention * pair_losses).sum() / (1.0 * pair_losses.shape[0] * pair_losses.shape[1])


def _three(features: Tensor) -> Tensor:
    """The maps for three teachers: the features, and two others that are made of them."""
    return torch.stack([features, features.flip(0), -features])


def camkd(student: Tensor, teacher: Tensor, crossed_logits: Tensor, target: Tensor) -> Tensor:
    """Zhang et al.: the cross-entropy and the error of each teacher, one after another."""
    wrong = torch.stack([F.cross_entropy(one, target, reduction="none") for one in crossed_logits])
    weights = (1 - F.softmax(wrong, dim=0)) / (len(wrong) - 1)
    pairs = zip(_three(student), _three(teacher), strict=True)
    apart = [F.mse_loss(one, other, reduction="none").flatten(1).mean(1) for one, other in pairs]
    return (weights * torch.stack(apart)).sum() / (len(target) * len(wrong))


def our_camkd(student: Tensor, teacher: Tensor, crossed_logits: Tensor, target: Tensor) -> Tensor:
    """kd's, with the same three teachers."""
    from kd_feature import camkd_feature_loss

    return camkd_feature_loss(_three(student), _three(teacher), crossed_logits, target)


def _crossed(shape: tuple[int, ...], samples: int) -> dict[str, Tensor]:
    return {"crossed_logits": torch.randn(3, samples, 100), "target": torch.randint(100, (samples,))}


LOSSES = {
    "camkd-feature, three teachers": Loss(f"{__name__}:our_camkd", camkd, {}, MAP, more=_crossed),
    "srrl": Loss("kd_feature:srrl_loss", srrl, {"beta": 1.0}, MAP, more=_logits),
    "fsp": Loss(f"{__name__}:our_fsp", fsp, {}, NARROW),
    "norm, four copies": Loss(f"{__name__}:our_norm", norm, {}, MAP),
    "vitkd, mimic of one block": Loss(f"{__name__}:our_vitkd_mimic", vitkd_mimic, {}, TOKENS),
    "vitkd, generation": Loss(
        "kd_feature:vitkd_generation_loss", vitkd_generation, {"mask_ratio": 0.5}, TOKENS, more=_mask
    ),
    "semckd": Loss("kd_feature:semckd_loss", semckd, {}, (4, 4)),
}
