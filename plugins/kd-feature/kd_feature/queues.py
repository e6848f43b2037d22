"""A queue of embeddings of the last samples, and the loss of what a model sees in it."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.gradient_in_forward import parts, with_gradient

if TYPE_CHECKING:
    from kdcore import Setup

_log = logging.getLogger(__name__)


class Queue(nn.Module):
    """The embeddings of the last K samples, as a buffer `rows [K, D]`; the order of the rows has no meaning.

    Rows and position are part of the state. A distiller that sees the whole batch has the same queue on every process.

    Args:
        size: K.
        dim: D.
        start: what the rows are before the first samples: zeros, random unit vectors, or uniform numbers with mean
            squared length 1.
    """

    rows: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int, start: Literal["zeros", "unit", "uniform"]) -> None:
        super().__init__()
        if start == "zeros":
            rows = torch.zeros(size, dim)
        elif start == "unit":
            rows = F.normalize(torch.randn(size, dim), dim=1)
        else:
            bound = math.sqrt(3 / dim)
            rows = torch.empty(size, dim).uniform_(-bound, bound)
        self.register_buffer("rows", rows)
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, embeddings: Tensor) -> None:
        """Overwrite the oldest rows by these `[B, D]`; of more than K only the first K are kept."""
        size = len(self.rows)
        embeddings = embeddings[:size].to(self.rows.dtype)
        # the position stays on the device: reading it would make every step wait
        places = (torch.arange(len(embeddings), device=self.rows.device) + self.position) % size
        self.rows.index_copy_(0, places, embeddings)
        self.position.add_(len(embeddings)).remainder_(size)

    def extra_repr(self) -> str:
        """Its shape."""
        return f"{list(self.rows.shape)}"


def queue_size(wanted: int, setup: Setup, distiller: str) -> int:
    """The size of a queue: no more rows than the training set has samples, with a warning.

    A longer queue would hold samples several times, and the sample itself as one of the others.
    """
    if not 0 < setup.train_size < wanted:
        return wanted
    _log.warning(
        "%s: a queue of %d instead of %d rows: the training set has no more samples",
        distiller,
        setup.train_size,
        wanted,
    )
    return setup.train_size


def soft_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    student_keys: Tensor,
    teacher_keys: Tensor,
    student_temperature: float,
    teacher_temperature: float,
    *,
    own: bool = False,
    divergence: bool = False,
) -> Tensor:
    """The cross-entropy of both models' probabilities over the keys, the mean over the batch.

    A probability is the softmax of a sample's products with all keys, divided by the temperature. The table `[B, K]` is
    computed part by part and not kept.

    Args:
        student: `[B, D]`; the gradient goes here only.
        teacher: `[B, D']`.
        student_keys: `[K, D]`.
        teacher_keys: `[K, D']`.
        student_temperature: divides the student's products.
        teacher_temperature: divides the teacher's.
        own: the sample's own teacher embedding is one more key, before the others; D = D'.
        divergence: subtract the entropy of the teacher's probabilities.

    Raises:
        ValueError: the keys have other shapes.
    """
    for embeddings, keys in ((student, student_keys), (teacher, teacher_keys)):
        if keys.dim() != 2 or len(keys) < 1 or keys.shape[1] != embeddings.shape[1]:
            raise ValueError(
                f"the queue has the shape {list(keys.shape)}; it must be [K, {embeddings.shape[1]}]"
            )
    teacher, student_keys, teacher_keys = (
        one.detach().to(student.dtype) for one in (teacher, student_keys, teacher_keys)
    )

    def compute(student: Tensor, needed: bool) -> tuple[Tensor, Tensor | None]:
        samples = len(student)
        loss = student.new_zeros(())
        gradients = []
        for part in parts(samples, len(student_keys)):
            key = teacher[part] if own else None
            ours = _log_softmax(student[part], student_keys, key, student_temperature)
            theirs = _log_softmax(teacher[part], teacher_keys, key, teacher_temperature)
            target = theirs.exp()
            loss += torch.vdot(target.flatten(), (theirs - ours if divergence else -ours).flatten())
            if not needed:
                continue
            slope = ours.exp_().sub_(target).div_(student_temperature * samples)
            if key is not None:
                gradients.append(slope[:, 1:] @ student_keys + slope[:, :1] * key)
            else:
                gradients.append(slope @ student_keys)
        return loss / samples, torch.cat(gradients) if needed else None

    return with_gradient(student, compute)


def _log_softmax(embeddings: Tensor, keys: Tensor, own: Tensor | None, temperature: float) -> Tensor:
    products = embeddings @ keys.T
    if own is not None:
        products = torch.cat([(embeddings * own).sum(dim=1, keepdim=True), products], dim=1)
    return F.log_softmax(products.div_(temperature), dim=1)
