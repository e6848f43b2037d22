"""Losses of similarities to a queue or to the batch as their authors compute them, written from their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.formulations.loss import EMBEDDING, Loss

ROWS = 16_384


def rrd(student: Tensor, teacher: Tensor, queue: Tensor) -> Tensor:
    """Giakoumoglou and Stathaki: a copy of the queue for each model."""
    p, q = (F.normalize(one, dim=1) @ queue.clone().T for one in (student, teacher))
    return -(F.softmax(q.detach() / 0.02, dim=1) * F.log_softmax(p / 0.1, dim=1)).sum(dim=1).mean()


def seed(student: Tensor, teacher: Tensor, queue: Tensor) -> Tensor:
    """Fang et al.: the own sample's column joined to the table."""
    s, t = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    p, q = (torch.cat([(one * t).sum(dim=1, keepdim=True), one @ queue.clone().T], dim=1) for one in (s, t))
    return -(F.softmax(q / 1e-4, dim=1) * F.log_softmax(p / 0.2, dim=1)).sum() / len(student)


def queue_relation(student: Tensor, teacher: Tensor, queue: Tensor) -> Tensor:
    """The global loss of LightlyTrain."""
    p, q = (F.normalize(one, dim=1) @ queue.T / 0.07 for one in (student, teacher))
    return F.kl_div(F.log_softmax(p, dim=1), F.softmax(q, dim=1), reduction="batchmean")


def compress(student: Tensor, teacher: Tensor, student_queue: Tensor, teacher_queue: Tensor) -> Tensor:
    """Koohpayegani et al.: probabilities of copies of both queues."""
    p = F.normalize(student, dim=1) @ student_queue.clone().T / 0.04
    q = F.normalize(teacher, dim=1) @ teacher_queue.clone().T / 0.04
    return F.kl_div(F.log_softmax(p, dim=1), F.softmax(q, dim=1), reduction="batchmean")


def dcd(student: Tensor, teacher: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """Giakoumoglou and Stathaki: cross-entropy, and the divergence of both directions."""
    z = F.normalize(student, dim=1) @ F.normalize(teacher, dim=1).T * log_scale.exp().clamp(0, 10) + bias
    contrast = F.cross_entropy(z, torch.arange(len(z), device=z.device))
    return contrast + 0.5 * F.kl_div(F.log_softmax(z, dim=1), F.softmax(z, dim=0).T, reduction="batchmean")


def _rows(shape: tuple[int, ...], batch: int) -> Tensor:
    return F.normalize(torch.randn(ROWS, *shape), dim=1)


def _queue(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"queue": _rows(shape, batch)}


def _queues(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"student_queue": _rows(shape, batch), "teacher_queue": _rows(shape, batch)}


def _scalars(shape: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    return {"log_scale": torch.tensor(1.0), "bias": torch.tensor(0.0)}


LOSSES = {
    "rrd": Loss("kd_feature:rrd_loss", rrd, {}, EMBEDDING, more=_queue),
    "seed": Loss("kd_feature:seed_loss", seed, {}, EMBEDDING, more=_queue),
    "queue-relation": Loss("kd_feature:lightly_global_loss", queue_relation, {}, EMBEDDING, more=_queue),
    "compress": Loss("kd_feature:compress_loss", compress, {}, EMBEDDING, more=_queues),
    "dcd": Loss("kd_feature:dcd_loss", dcd, {}, EMBEDDING, more=_scalars),
}
