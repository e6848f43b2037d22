"""The loss of CRD: noise-contrastive estimation against two memories of embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from kd_feature.tensors import at_least_float32, full_precision

if TYPE_CHECKING:
    from collections.abc import Iterable

_EPS = 1e-7  # of the authors' code, in the denominators
# Scores against the whole memory are one matrix product; scores against chosen rows have to fetch each of them.
# A fetched row costs as much as so many in the product: measured on one CPU core, B = 64, M = 16 384, D = 128,
# the product takes 60 ms at N = 50 000 and 1.2 s per million rows, fetching 175 ms whatever N is.
_ROWS_PER_CHOSEN = 8
# Numbers in the rows that are read at once: what the processor's cache, or a part of a GPU's memory, holds.
_AT_ONCE = {"cpu": 1 << 22}
_AT_ONCE_ELSEWHERE = 1 << 26


class CRDLoss(nn.Module):
    """Contrastive representation distillation between unit vectors, both directions added.

    With a sample's own row and `negatives` rows of other samples, M in number, out of a memory of N: a row's
    probability is P = exp(<embedding, row> / T) / Z, and a direction's loss
    -log[P / (P + M/N + eps)] for the own row and -log[(M/N) / (P + M/N + eps)] for each other, their sum, the mean
    over the batch, eps = 1e-7. The student's embedding is scored against the teacher's memory, and the teacher's
    against the student's. Z is N times the mean of the first batch's exponentials, and kept.

    All in log space, in float32 at least. The gradient flows into both embeddings: the teacher's is that of its
    trained head. It is computed with the loss, so that the memories can be updated in the same call.

    Args:
        embedding_dim: D.
        num_samples: size of the training set, N.
        negatives: M.
        temperature: T.
        momentum: how much of the old row an update keeps.

    Attributes:
        student_memory: `[N, D]`, the student's embeddings as they were last seen.
        teacher_memory: `[N, D]`, likewise the teacher's.
        student_log_normalizer: log Z of the student's embedding against the teacher's memory; NaN until it is set.
        teacher_log_normalizer: log Z of the other direction.

    Source: Tian et al., "Contrastive Representation Distillation", ICLR 2020, equation 18, and the authors'
    `crd/criterion.py` and `crd/memory.py`.

    Raises:
        ValueError: a size is below 1, the temperature is not above 0, or the momentum is outside 0..1.
    """

    student_memory: Tensor
    teacher_memory: Tensor
    student_log_normalizer: Tensor
    teacher_log_normalizer: Tensor

    def __init__(
        self, embedding_dim: int, num_samples: int, negatives: int, temperature: float, momentum: float
    ) -> None:
        super().__init__()
        for name, size in (
            ("embedding_dim", embedding_dim),
            ("num_samples", num_samples),
            ("negatives", negatives),
        ):
            if size < 1:
                raise ValueError(f"{name} is {size}; it must be 1 or more")
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; it must be from 0 to 1")
        self.embedding_dim = embedding_dim
        self.num_samples = num_samples
        self.negatives = negatives
        self.temperature = temperature
        self.momentum = momentum
        # the authors' start: uniform, of mean squared length 1
        bound = 1 / math.sqrt(embedding_dim / 3)
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, torch.empty(num_samples, embedding_dim).uniform_(-bound, bound))
        for name in ("student_log_normalizer", "teacher_log_normalizer"):
            self.register_buffer(name, torch.tensor(math.nan))
        # known apart from the buffers: reading a tensor would make every step wait for the device
        self._normalized = False
        self.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    def forward(
        self, student_embedding: Tensor, teacher_embedding: Tensor, index: Tensor, contrast_index: Tensor
    ) -> Tensor:
        """The loss of this batch, a scalar; then both memories take its embeddings in.

        Args:
            student_embedding: unit vectors `[B, D]`.
            teacher_embedding: unit vectors `[B, D]`.
            index: the samples' positions in the training set `[B]`, each once.
            contrast_index: `[B, 1 + negatives]`, the first column being `index`.

        Raises:
            ValueError: the shapes do not fit.
        """
        self._check(student_embedding, teacher_embedding, index, contrast_index)
        with full_precision(student_embedding.device):
            student, teacher = at_least_float32(student_embedding), at_least_float32(teacher_embedding)
            if not self._normalized:
                self._normalize(student, teacher, contrast_index)
            loss = self._direction(
                student, self.teacher_memory, self.student_log_normalizer, contrast_index
            ) + self._direction(teacher, self.student_memory, self.teacher_log_normalizer, contrast_index)
            self._remember(self.student_memory, student, index)
            self._remember(self.teacher_memory, teacher, index)
        return loss

    def _direction(self, embedding: Tensor, memory: Tensor, log_normalizer: Tensor, chosen: Tensor) -> Tensor:
        log_noise = math.log(self.negatives / self.num_samples + _EPS)
        constant = self.negatives * math.log1p(_EPS * self.num_samples / self.negatives)
        # P against M/N in log space: the scores shifted by so much
        shift = log_normalizer.to(embedding.dtype) + log_noise
        loss = _Contrast.apply(embedding, memory, chosen, shift, self.temperature)
        return cast("Tensor", loss) + constant

    @torch.no_grad()
    def _normalize(self, student: Tensor, teacher: Tensor, chosen: Tensor) -> None:
        """Set the normalisers that are not set yet."""
        for embedding, memory, log_normalizer in (
            (student, self.teacher_memory, self.student_log_normalizer),
            (teacher, self.student_memory, self.teacher_log_normalizer),
        ):
            log_mean = _log_mean_exp(embedding, memory, chosen, self.temperature)
            first = (log_mean + math.log(self.num_samples)).to(log_normalizer.dtype)
            log_normalizer.copy_(torch.where(log_normalizer.isnan(), first, log_normalizer))
        self._normalized = True

    @torch.no_grad()
    def _remember(self, memory: Tensor, embedding: Tensor, index: Tensor) -> None:
        mixed = self.momentum * memory[index].to(embedding.dtype) + (1 - self.momentum) * embedding
        memory.index_copy_(0, index, F.normalize(mixed, dim=1).to(memory.dtype))

    def _check(self, student: Tensor, teacher: Tensor, index: Tensor, chosen: Tensor) -> None:
        samples = index.shape[0] if index.dim() == 1 else 0
        if samples < 1:
            raise ValueError(f"index has shape {list(index.shape)}; it must be [B], B >= 1")
        for name, value, expected in (
            ("student_embedding", student, [samples, self.embedding_dim]),
            ("teacher_embedding", teacher, [samples, self.embedding_dim]),
            ("contrast_index", chosen, [samples, 1 + self.negatives]),
        ):
            if list(value.shape) != expected:
                raise ValueError(f"{name} has shape {list(value.shape)}; it must be {expected}")

    def extra_repr(self) -> str:
        """Its settings."""
        return (
            f"{self.embedding_dim}, num_samples={self.num_samples}, negatives={self.negatives}, "
            f"temperature={self.temperature}, momentum={self.momentum}"
        )


def _look_again(module: nn.Module, _: object) -> None:
    cast("CRDLoss", module)._normalized = False


class _Contrast(torch.autograd.Function):
    """The loss of one direction, less its constant, and its gradient, both in the forward pass.

    Autograd would keep the memory for the backward pass, which comes after the memory was updated.
    """

    @staticmethod
    def forward(
        ctx: Any, embedding: Tensor, memory: Tensor, chosen: Tensor, shift: Tensor, temperature: float
    ) -> Tensor:
        memory = memory.to(embedding.dtype)
        loss, gradients = embedding.new_zeros(()), []
        if _score_all(memory, chosen):
            scores = embedding @ memory.T
            loss, slope = _estimate(scores.gather(1, chosen), shift, temperature)
            gradients.append(scores.zero_().scatter_add_(1, chosen, slope) @ memory)
        else:
            for part, at in _parts(embedding, chosen):
                rows = _rows(memory, at)
                of_part, slope = _estimate(_dot(rows, part), shift, temperature)
                loss += of_part
                gradients.append(torch.bmm(slope.unsqueeze(1), rows).squeeze(1))
        ctx.save_for_backward(torch.cat(gradients) / len(chosen))
        return loss / len(chosen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (of_embedding,) = ctx.saved_tensors
        return grad * of_embedding, None, None, None, None


def _estimate(scores: Tensor, shift: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The loss of scores `[B, 1 + M]`, summed, and its derivative by each."""
    logits = scores / temperature - shift
    logits[:, 0].neg_()
    loss = -F.logsigmoid(-logits).sum()
    slope = logits.sigmoid_().div_(temperature)
    slope[:, 0].neg_()
    return loss, slope


def _log_mean_exp(embedding: Tensor, memory: Tensor, chosen: Tensor, temperature: float) -> Tensor:
    memory = memory.to(embedding.dtype)
    if _score_all(memory, chosen):
        scores = (embedding @ memory.T).gather(1, chosen)
    else:
        scores = torch.cat([_dot(_rows(memory, at), part) for part, at in _parts(embedding, chosen)])
    return (scores / temperature).flatten().logsumexp(0) - math.log(scores.numel())


def _score_all(memory: Tensor, chosen: Tensor) -> bool:
    return memory.shape[0] <= _ROWS_PER_CHOSEN * chosen.shape[1]


def _parts(embedding: Tensor, chosen: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    """Samples in parts whose chosen rows are not too many at once."""
    most = _AT_ONCE.get(embedding.device.type, _AT_ONCE_ELSEWHERE)
    size = max(most // (chosen.shape[1] * embedding.shape[1]), 1)
    return zip(torch.split(embedding, size), torch.split(chosen, size), strict=True)


def _rows(memory: Tensor, at: Tensor) -> Tensor:
    """Rows of the memory `[B, 1 + M, D]`."""
    return memory.index_select(0, at.flatten()).view(*at.shape, -1)


def _dot(rows: Tensor, embedding: Tensor) -> Tensor:
    return torch.bmm(rows, embedding.unsqueeze(2)).squeeze(2)
