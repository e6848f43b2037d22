"""Losses of embeddings as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import EMBEDDING, Loss

CLASSES = 1000


def srd(student: Tensor, teacher: Tensor) -> Tensor:
    """Miles and Mikolajczyk: batch norm, and fourth powers."""
    p, q = (F.batch_norm(one, None, None, training=True, eps=1e-4) for one in (student, teacher))
    return torch.log((p - q).abs().pow(4.0).sum())


def srd_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Miles and Mikolajczyk: the code for DeiT."""
    p, q = ((one - one.mean(0)) / one.std(0, unbiased=False) for one in (student, teacher))
    c = torch.einsum("bx,bx->x", p, q) / len(p)
    return torch.log((c - torch.ones_like(c)).abs().pow(4.0).sum() + 1e-5)


def itrd_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Miles et al.: standardised by the unbiased deviation."""
    p, q = ((one - one.mean(0)) / one.std(0) for one in (student, teacher))
    c = torch.einsum("bx,bx->x", p, q) / len(p)
    return torch.log2((c - torch.ones_like(c)).pow(2).pow(1.5).sum())


def itrd_mutual(student: Tensor, teacher: Tensor) -> Tensor:
    """Miles et al.: tables divided by their traces."""
    p, q = (F.normalize(one, dim=1) for one in (student, teacher))
    ours = torch.einsum("bx,dx->bd", p, p)
    joint = ours * torch.einsum("bx,dx->bd", q, q)
    ours, joint = ours / ours.trace(), joint / joint.trace()
    return ours.pow(2).sum() - joint.pow(2).sum()


def vkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Miles et al.: after the projection."""
    return F.smooth_l1_loss(student, F.layer_norm(teacher, teacher.shape[1:]))


def pad(student: Tensor, teacher: Tensor, log_variance: Tensor) -> Tensor:
    """Zhang et al., as in torchdistill."""
    return ((student - teacher).pow(2) / (1e-6 + log_variance.exp()) + log_variance).mean()


def nd(student: Tensor, teacher: Tensor, centers: Tensor, target: Tensor) -> Tensor:
    """Wang et al.: sample by sample, with all norms."""
    direction = (centers / centers.norm(dim=1, keepdim=True))[target]
    largest = torch.max(student.norm(dim=1), teacher.norm(dim=1))
    loss: Tensor = (1 - (student * direction).sum(dim=1) / largest).mean()
    return loss


def unic(student: Tensor, teacher: Tensor) -> Tensor:
    """Sariyildiz et al."""
    cosine = 1 - F.cosine_similarity(student, teacher, dim=-1)
    smooth = F.smooth_l1_loss(student, teacher, reduction="none").mean(dim=-1)
    return (0.5 * cosine + 0.5 * smooth).mean()


def cospress_global(student: Tensor, teacher: Tensor, temperatures: tuple[float, ...]) -> Tensor:
    """Mannix et al.: for the samples of a batch."""
    from benchmarks.formulations.feature_tokens import cospress_local

    return cospress_local(student.unsqueeze(0), teacher.unsqueeze(0), temperatures)


def _variance(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"log_variance": torch.randn(batch, *shape)}


def _centers(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"centers": torch.randn(CLASSES, *shape), "target": torch.randint(CLASSES, (batch,))}


TEN = tuple(k / 100 for k in range(1, 11))
LOSSES = {
    "srd, difference": Loss("kd_feature:srd_loss", srd, {}, EMBEDDING),
    "srd, correlation": Loss("kd_feature:srd_correlation_loss", srd_correlation, {}, EMBEDDING),
    "itrd, correlation": Loss("kd_feature:itrd_correlation_loss", itrd_correlation, {}, EMBEDDING),
    "itrd, mutual": Loss("kd_feature:itrd_mutual_loss", itrd_mutual, {}, EMBEDDING),
    "vkd": Loss("kd_feature:vkd_loss", vkd, {}, EMBEDDING),
    "pad": Loss("kd_feature:pad_loss", pad, {}, EMBEDDING, more=_variance),
    "nd": Loss("kd_feature:nd_loss", nd, {}, EMBEDDING, more=_centers),
    "cosine, embeddings": Loss("kd_feature:unic_loss", unic, {}, EMBEDDING),
    "cospress, images": Loss(
        "kd_feature:cospress_global_loss", cospress_global, {"temperatures": TEN}, EMBEDDING
    ),
}
