"""DIST: make the student's probabilities correlate with the teacher's instead of matching them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.relations import DISTOptions

_EPS = 1e-8  # from the authors' code, added to the product of both norms
_ROUNDING = 16  # a spread of up to this number of rounding units is noise around a constant


def dist_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, beta: float, gamma: float, temperature: float
) -> Tensor:
    """The loss beta * inter-class term + gamma * intra-class term; about 0 if both agree.

    With p = softmax(logits/T) `[B, K]`, the inter-class term is T^2 * (1 - Pearson's correlation of the
    rows), the mean over samples. The intra-class term is the same for the columns, the mean over classes: it
    relates the samples of the batch.

    As in the authors' code, 1e-8 is added to the product of the two norms. It reduces the weight of classes
    that are unlikely for all samples of the batch. So the loss at student = teacher is above 0 if the
    probabilities are very small (many classes, high temperature). A row or column without any spread, such as
    every column of a batch of one, counts as correlation 0 and gives no gradient.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, and the
    authors' `lib/models/losses/dist_kd.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    inter, intra = dist_terms(student_logits, teacher_logits, temperature=temperature)
    return beta * inter + gamma * intra


def dist_terms(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """The inter-class and the intra-class term, unweighted; see `dist_loss`."""
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    student = F.softmax(student / temperature, dim=1)
    teacher = F.softmax(teacher / temperature, dim=1)
    inter = 1 - _correlation(student, teacher, dim=1).mean()
    intra = 1 - _correlation(student, teacher, dim=0).mean()
    return inter * temperature**2, intra * temperature**2


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Pearson's correlation along a dimension, 0 if one of the two is constant."""
    a_centred, a_norm, a_constant = _centre(a, dim)
    b_centred, b_norm, b_constant = _centre(b, dim)
    correlation = (a_centred * b_centred).sum(dim=dim) / (a_norm * b_norm + _EPS)
    # Without this, a constant (a classifier that starts at zero) has a gradient of up to 1e8.
    return correlation.masked_fill(a_constant | b_constant, 0.0)


def _centre(values: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The values minus their mean, the norm of the result, and whether the result is only rounding noise."""
    mean = values.mean(dim=dim, keepdim=True)
    centred = values - mean
    norm = torch.linalg.vector_norm(centred, dim=dim)
    # the norm of the values themselves, from both parts
    length = torch.hypot(norm.detach(), mean.detach().squeeze(dim) * values.shape[dim] ** 0.5)
    return centred, norm, norm.detach() <= _ROUNDING * torch.finfo(values.dtype).eps * length


class DIST(nn.Module):
    """The distiller `dist`, with the loss terms `inter` and `intra`."""

    def __init__(self, options: DISTOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given", whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        inter, intra = dist_terms(
            *read_logits(options, student, teacher, batch, "dist"), temperature=options.temperature
        )
        return {
            "inter": options.weight * options.beta * inter,
            "intra": options.weight * options.gamma * intra,
        }
