"""Losses of maps that come from a head, as their authors compute them, written from their formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.formulations.loss import MAP, NARROW, Loss

if TYPE_CHECKING:
    from torch import Tensor


def hcl(student: Tensor, teacher: Tensor) -> Tensor:
    """Chen et al.: the difference on each grid from both averaged maps."""
    loss, factor, total = F.mse_loss(student, teacher), 1.0, 1.0
    for level in (4, 2, 1):
        if level >= student.shape[2]:
            continue
        factor /= 2
        ours, theirs = F.adaptive_avg_pool2d(student, level), F.adaptive_avg_pool2d(teacher, level)
        loss = loss + factor * F.mse_loss(ours, theirs)
        total += factor
    return loss / total


def mgd(student: Tensor, teacher: Tensor) -> Tensor:
    """Yang et al.: a sum."""
    return F.mse_loss(student, teacher, reduction="sum") / student.shape[0]


def ofd(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Heo et al.: all squares times a mask."""
    target = teacher.max(margin.detach().view(1, -1, 1, 1))
    squares = F.mse_loss(student, target, reduction="none")
    return (squares * ((student > target) | (teacher > 0)).float()).sum() / student.shape[0]


def ickd(student: Tensor, teacher: Tensor) -> Tensor:
    """Liu et al.: both tables, and a norm of their difference."""
    p, q = (one.flatten(2) for one in (student, teacher))
    p, q = (F.normalize(one.bmm(one.transpose(1, 2)), dim=2) for one in (p, q))
    loss: Tensor = (p - q).norm(p="fro", dim=(1, 2)).pow(2).sum() / (student.shape[0] * student.shape[1])
    return loss


def cwd(student: Tensor, teacher: Tensor) -> Tensor:
    """Shu et al.: probabilities, and their logarithms."""
    p = F.softmax(teacher.flatten(2).flatten(0, 1), dim=1)
    logs = (
        F.log_softmax(student.flatten(2).flatten(0, 1), dim=1),
        F.log_softmax(teacher.flatten(2).flatten(0, 1), dim=1),
    )
    return (p * logs[1] - p * logs[0]).sum() / (student.shape[0] * student.shape[1])


def pkd(student: Tensor, teacher: Tensor) -> Tensor:
    """MMRazor: standardised with the channels first."""

    def standardised(maps: Tensor) -> Tensor:
        flat = maps.permute(1, 0, 2, 3).reshape(maps.shape[1], -1)
        flat = (flat - flat.mean(-1, keepdim=True)) / (flat.std(-1, keepdim=True) + 1e-6)
        samples, _, height, width = maps.shape
        return flat.reshape(-1, samples, height, width).permute(1, 0, 2, 3)

    return F.mse_loss(standardised(student), standardised(teacher)) / 2


def cat_kd(student: Tensor, teacher: Tensor) -> Tensor:
    """Guo et al.: both maps averaged."""
    return F.mse_loss(F.adaptive_avg_pool2d(student, (2, 2)), F.adaptive_avg_pool2d(teacher, (2, 2)))


def ab(student: Tensor, teacher: Tensor) -> Tensor:
    """Heo et al.: two masks."""
    low = (student + 1).pow(2) * ((student > -1) & (teacher <= 0)).float()
    high = (student - 1).pow(2) * ((student <= 1) & (teacher > 0)).float()
    return 0.003 * (low + high).sum() / student.shape[0]


def ft(student: Tensor, teacher: Tensor) -> Tensor:
    """Kim et al., in the form of RepDistiller."""
    p, q = (F.normalize(one.pow(2).mean(1).view(one.shape[0], -1)) for one in (student, teacher))
    return (p - q).abs().mean()


def spatial(student: Tensor, teacher: Tensor) -> Tensor:
    """Fan et al.: a sum of squares."""
    p, q = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    return F.mse_loss(p, q, reduction="sum") / student.shape[0]


def frequency(student: Tensor, teacher: Tensor) -> Tensor:
    """Fan et al.: a cosine transform there and back, without its constant part."""
    size = student.shape[2]
    places = torch.arange(size, device=student.device, dtype=student.dtype)
    table = torch.cos(math.pi / size * (places + 0.5) * places[:, None]) * (2 / size) ** 0.5
    table[0] /= 2**0.5

    def without(maps: Tensor) -> Tensor:
        frequencies = table @ maps @ table.T
        constant = torch.zeros_like(frequencies)
        constant[:, :, 0, 0] = 1
        restored: Tensor = table.T @ (frequencies * (1 - constant)) @ table
        return restored

    return spatial(without(student), without(teacher))


LOSSES = {
    "reviewkd": Loss("kd_feature:review_hcl_loss", hcl, {}, MAP),
    "mgd": Loss("kd_feature:mgd_loss", mgd, {}, MAP),
    "ofd": Loss("kd_feature:ofd_loss", ofd, {}, MAP, channels=True),
    "ickd": Loss("kd_feature:ickd_loss", ickd, {}, NARROW),
    "cwd": Loss("kd_feature:cwd_loss", cwd, {}, MAP),
    "pkd": Loss("kd_feature:pkd_loss", pkd, {}, MAP),
    "scalekd spatial": Loss("kd_feature:scalekd_spatial_loss", spatial, {}, MAP),
    "scalekd frequency": Loss("kd_feature:scalekd_frequency_loss", frequency, {}, MAP),
    "ab": Loss("kd_feature:ab_loss", ab, {}, MAP),
    "ft": Loss("kd_feature:ft_loss", ft, {}, MAP),
    "catkd": Loss("kd_feature:cat_kd_loss", cat_kd, {}, MAP),
}
