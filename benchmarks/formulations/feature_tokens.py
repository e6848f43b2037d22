"""Losses of tokens as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import TOKENS, Loss

TEN = tuple(k / 100 for k in range(1, 11))
HEADS = (6, 197)


def manifold_patch(student: Tensor, teacher: Tensor) -> Tensor:
    """Hao et al.: both tables of an image."""
    p, q = (F.normalize(one, dim=-1) for one in (student, teacher))
    return (p.bmm(p.transpose(1, 2)) - q.bmm(q.transpose(1, 2))).pow(2).mean()


def manifold_sample(student: Tensor, teacher: Tensor) -> Tensor:
    """Hao et al.: both tables of a place."""
    return manifold_patch(student.permute(1, 0, 2), teacher.permute(1, 0, 2))


def manifold_random(student: Tensor, teacher: Tensor, index: Tensor) -> Tensor:
    """Hao et al.: all tokens normalised, then some chosen."""
    p, q = (F.normalize(one, dim=-1).flatten(0, 1)[index] for one in (student, teacher))
    return (p.mm(p.T) - q.mm(q.T)).pow(2).mean()


def token_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """The local loss of LightlyTrain."""
    p, q = (F.normalize(one, dim=-1) for one in (student, teacher))
    p, q = (one @ one.transpose(1, 2) / 0.07 for one in (p, q))
    p, q = p.flatten(0, 1), q.flatten(0, 1)
    return F.kl_div(F.log_softmax(p, dim=-1), F.softmax(q, dim=-1), reduction="batchmean")


def unic(student: Tensor, teacher: Tensor) -> Tensor:
    """Sariyildiz et al.: token by token."""
    cosine = 1 - F.cosine_similarity(student, teacher, dim=-1)
    smooth = F.smooth_l1_loss(student, teacher, reduction="none").mean(dim=-1)
    return (0.5 * cosine + 0.5 * smooth).mean(dim=1).mean()


def theia(student: Tensor, teacher: Tensor) -> Tensor:
    """Shang et al.: all tokens as one vector."""
    cosine = 1 - F.cosine_similarity(student.flatten(1), teacher.flatten(1), dim=-1)
    return 0.9 * cosine.mean() + 0.1 * F.smooth_l1_loss(student, teacher)


def proteus(student: Tensor, teacher: Tensor) -> Tensor:
    """Zhang et al.: class token first."""
    return F.mse_loss(student[:, 0], teacher[:, 0]) + F.mse_loss(student, teacher)


def cospress_local(student: Tensor, teacher: Tensor, temperatures: tuple[float, ...]) -> Tensor:
    """Mannix et al.: each temperature by itself, the diagonal masked by a large number."""
    p, q = (F.normalize(one, dim=-1) for one in (student, teacher))
    p, q = (torch.bmm(one, one.permute(0, 2, 1)) for one in (p, q))
    own = torch.eye(p.shape[1], dtype=p.dtype, device=p.device) * 1e8
    loss = p.new_zeros(())
    for temperature in temperatures:
        logs = []
        for table in (p, q):
            rows = F.log_softmax((table - own) / temperature, dim=-1)
            both = torch.logsumexp(torch.stack([rows, rows.permute(0, 2, 1)]), dim=0)
            logs.append(both - torch.logsumexp(both, dim=(1, 2), keepdim=True))
        loss = loss + (logs[1].exp() * (logs[1] - logs[0])).sum(dim=(1, 2)).mean()
    return loss / len(temperatures)


def attndistill(student: Tensor, teacher: Tensor) -> Tensor:
    """Wang et al.: heads multiplied."""
    p, q = (F.softmax(one.log().sum(dim=1) / 20, dim=-1).clamp(1e-5, 0.996) for one in (student, teacher))
    p, q = F.normalize(p, p=1, dim=-1), F.normalize(q, p=1, dim=-1)
    return F.kl_div(p.log(), q, reduction="batchmean")


def _index(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"index": torch.randperm(batch * shape[0])[:192]}


def _attention(numbers: Tensor) -> Tensor:
    return numbers.softmax(dim=-1)


LOSSES = {
    "manifold, patches": Loss("kd_feature:manifold_patch_loss", manifold_patch, {}, TOKENS),
    "manifold, samples": Loss("kd_feature:manifold_sample_loss", manifold_sample, {}, TOKENS),
    "manifold, random": Loss("kd_feature:manifold_random_loss", manifold_random, {}, TOKENS, more=_index),
    "token-relation": Loss("kd_feature:lightly_local_loss", token_relation, {}, TOKENS),
    "cosine, tokens": Loss("kd_feature:unic_loss", unic, {}, TOKENS),
    "theia": Loss("kd_feature:theia_loss", theia, {}, TOKENS),
    "proteus": Loss("kd_feature:proteus_loss", proteus, {}, TOKENS),
    "cospress, tokens": Loss("kd_feature:cospress_local_loss", cospress_local, {"temperatures": TEN}, TOKENS),
    "attndistill": Loss("kd_feature:attn_distill_loss", attndistill, {}, HEADS, given=_attention),
}
