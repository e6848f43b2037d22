"""The loss of CRD: noise-contrastive estimation against two memories of embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from kdcore.ops import at_least_float32, full_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPS = 1e-7  # from the authors' code, in the denominators


class Costs(NamedTuple):
    """The cost of the two methods to compute the scores: N rows of D numbers, B samples, C chosen rows per sample.

    Scores of all rows: N * (row * D + B * (score + term * D)) + B * C * pick. Scores of the chosen rows only:
    B * C * (chosen + fetch * D).
    """

    row: float
    score: float
    term: float
    pick: float
    chosen: float
    fetch: float


# ns of processor time, fitted to N = 10 000 .. 1 281 167, C = 1025 .. 16 385, B = 16 .. 256 and D = 64 .. 256 on one
# core of a Xeon with AVX-512. Both methods take the same time at N = 27 * C for B = 64 and D = 128. Single measurements
# give 21 .. 38, depending on which rows are in a cache; in this range the wrong method takes up to 1.5 times as long.
COSTS = {"cpu": Costs(0.7, 4, 0.02, 13, 40, 1.5)}
# Other devices: bytes that are moved, with ten operations in the time of a byte. From GPU data sheets, not measured.
_COSTS_ELSEWHERE = Costs(8, 16, 0.4, 100, 8, 16)
# Numbers in the rows that are fetched at once: they fit into a core's own cache, or a small part of a GPU's memory.
AT_ONCE_PER_THREAD = 1 << 20
_AT_ONCE_ELSEWHERE = 1 << 26
_SAME = 40.0  # for larger x, log(1 + exp(x)) is x, even in float64


class CRDLoss(nn.Module):
    """Contrastive representation distillation between unit vectors, both directions added.

    Each sample is compared with its own row and with the rows of M other samples (`negatives`), from a memory of N
    rows. The probability of a row is P = exp(<embedding, row> / T) / Z. The loss of one direction is
    -log[P / (P + M/N + eps)] for the own row plus -log[(M/N) / (P + M/N + eps)] for each other row, the mean over the
    batch, with eps = 1e-7. The student's embedding is scored against the teacher's memory, and the teacher's embedding
    against the student's memory. Z is N times the mean of the first batch's exponentials; it does not change later.

    Everything is in log space, in float32 at least. The gradient flows into both embeddings: the teacher's embedding
    comes from its trained head. The gradient is computed together with the loss, so the memories can be updated in the
    same call.

    Args:
        embedding_dim: D.
        num_samples: size of the training set, N.
        negatives: M.
        temperature: T.
        momentum: how much of the old row an update keeps.

    Attributes:
        student_memory: `[N, D]`, the last embeddings of the student.
        teacher_memory: `[N, D]`, the last embeddings of the teacher.
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
        # the authors' initial values: uniform, with mean squared length 1
        bound = 1 / math.sqrt(embedding_dim / 3)
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, torch.empty(num_samples, embedding_dim).uniform_(-bound, bound))
        for name in ("student_log_normalizer", "teacher_log_normalizer"):
            self.register_buffer(name, torch.tensor(math.nan))
        # stored separately from the buffers: reading a tensor would make every step wait for the device
        self._normalized = False
        self.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    def forward(
        self, student_embedding: Tensor, teacher_embedding: Tensor, index: Tensor, contrast_index: Tensor
    ) -> Tensor:
        """Return the loss of this batch, a scalar, and update both memories with its embeddings.

        Args:
            student_embedding: unit vectors `[B, D]`.
            teacher_embedding: unit vectors `[B, D]`.
            index: the samples' positions in the training set `[B]`, each once.
            contrast_index: `[B, 1 + negatives]`; the first column is `index`.

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
        # the ratio of P and M/N in log space: the scores minus this shift
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
    """The loss of one direction without its constant, and its gradient, both computed in the forward pass.

    Autograd would need the memory in the backward pass, after the memory was updated.
    """

    @staticmethod
    def forward(
        ctx: Any, embedding: Tensor, memory: Tensor, chosen: Tensor, shift: Tensor, temperature: float
    ) -> Tensor:
        way = _by_product if _score_all(embedding, memory, chosen) else _by_rows
        loss, gradient = way(embedding / temperature, memory.to(embedding.dtype), chosen, shift)
        ctx.save_for_backward(gradient / (temperature * len(chosen)))
        return loss / len(chosen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (of_embedding,) = ctx.saved_tensors
        return grad * of_embedding, None, None, None, None


def _by_product(embedding: Tensor, memory: Tensor, chosen: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The summed loss and its gradient `[B, D]`, from the scores of all rows."""
    scores = embedding @ memory.T
    logits = scores.gather(1, chosen).sub_(shift)
    loss = _estimate(logits)
    return loss, scores.zero_().scatter_add_(1, chosen, logits) @ memory


def _by_rows(embedding: Tensor, memory: Tensor, chosen: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The same from the chosen rows, each fetched once: a row's part of the gradient depends only on its own score."""
    losses, gradient = [], torch.zeros_like(embedding)
    for samples, columns in _parts(embedding, chosen):
        rows = _rows(memory, chosen[samples, columns])
        logits = torch.bmm(rows, embedding[samples].unsqueeze(2)).squeeze(2).sub_(shift)
        losses.append(_estimate(logits, with_own=columns.start == 0))
        gradient[samples] += torch.bmm(logits.unsqueeze(1), rows).squeeze(1)
    return torch.stack(losses).sum(), gradient


def _estimate(logits: Tensor, with_own: bool = True) -> Tensor:
    """The summed loss of logits `[B, C]`; it replaces the logits by the derivatives of the loss.

    With `with_own`, the first column belongs to the sample's own row.
    """
    if with_own:
        logits[:, 0].neg_()
    loss = F.softplus(logits, threshold=_SAME).sum()
    logits.sigmoid_()
    if with_own:
        logits[:, 0].neg_()
    return loss


def _log_mean_exp(embedding: Tensor, memory: Tensor, chosen: Tensor, temperature: float) -> Tensor:
    scores, way = embedding.new_empty(chosen.shape), _score_all(embedding, memory, chosen)
    memory = memory.to(embedding.dtype)
    if way:
        torch.gather(embedding @ memory.T, 1, chosen, out=scores)
    else:
        for samples, columns in _parts(embedding, chosen):
            rows = _rows(memory, chosen[samples, columns])
            scores[samples, columns] = torch.bmm(rows, embedding[samples].unsqueeze(2)).squeeze(2)
    return (scores / temperature).flatten().logsumexp(0) - math.log(scores.numel())


def _score_all(embedding: Tensor, memory: Tensor, chosen: Tensor) -> bool:
    """Whether the scores of all rows cost less than those of only the chosen rows."""
    costs = COSTS.get(embedding.device.type, _COSTS_ELSEWHERE)
    (samples, dim), rows, each = embedding.shape, memory.shape[0], chosen.shape[1]
    per_row = costs.row * dim + samples * (costs.score + costs.term * dim)
    # the costs of both methods per chosen row are combined
    return rows * per_row <= samples * each * (costs.chosen + costs.fetch * dim - costs.pick)


def _parts(embedding: Tensor, chosen: Tensor) -> Iterator[tuple[slice, slice]]:
    """Split samples and columns of `chosen` into parts with a limited number of rows."""
    on_cpu = embedding.device.type == "cpu"
    numbers = AT_ONCE_PER_THREAD * torch.get_num_threads() if on_cpu else _AT_ONCE_ELSEWHERE
    most = max(numbers // embedding.shape[1], 1)
    columns = min(most, chosen.shape[1])
    samples = most // columns
    for sample in range(0, len(chosen), samples):
        for column in range(0, chosen.shape[1], columns):
            yield slice(sample, sample + samples), slice(column, column + columns)


def _rows(memory: Tensor, at: Tensor) -> Tensor:
    """Rows of the memory `[B, C, D]`."""
    where = at.flatten()
    if memory.device.type == "cpu" and memory.dtype == torch.float32:
        # sums of one row each: unlike index_select, embedding_bag prefetches the next rows while it copies one. That
        # takes a third less time if the memory is larger than the cache
        each = torch.arange(len(where), dtype=where.dtype)
        rows = torch.embedding_bag(memory, where, each)[0]
    else:
        rows = memory.index_select(0, where)
    return rows.view(*at.shape, -1)
