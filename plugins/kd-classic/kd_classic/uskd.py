"""USKD: soft labels without a teacher, made of the student's own confidence and of a fixed law for the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class, without_class
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    at_least_float32,
    class_index,
    full_precision,
    prepare_logits,
    sum_over_processes,
    target_of,
)

if TYPE_CHECKING:
    from kd_classic.options.teacher_free import USKDOptions

_EPS = 1e-6  # from the authors' code
_SMOOTHING = 0.1  # of the labels of the weak head, in the authors' code


def uskd_loss(
    student_logits: Tensor,
    weak_logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    mu: float,
) -> Tensor:
    """The loss alpha * target term + beta * non-target term + mu * cross-entropy of the weak head.

    With p = softmax(s) and the target y, the target term is -(p_y^2 + 1 - mean of p_y^2 over the batch) * log p_y,
    where the factor has no gradient. The non-target term is the cross-entropy of the other classes, renormalised among
    themselves, against Zipf's law 1/rank, renormalised without y. The ranks come from both heads. The weak head learns
    the labels with a smoothing of 0.1.

    In the authors' code the ranks add a probability of the weak head to a *log*-probability of the student. In
    `uskd_probability_loss` both are probabilities.

    Both logits are `[B, K]`; the weak ones are those of a linear head on a feature map in the middle of the student.
    The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class is used. The gradient goes
    to both. The result is float32 if the logits have a narrower type, otherwise it has the type of the student's.
    In a run of several processes the mean of p_y^2 is that of all processes.

    Source: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation", ICCV 2023, section 3.3, and the
    authors' `mmcls/models/dis_losses/uskd.py`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    of_target, of_others, of_weak = _terms(student_logits, weak_logits, target, log_ranks=True)
    return alpha * of_target + beta * of_others + mu * of_weak


def uskd_probability_loss(
    student_logits: Tensor, weak_logits: Tensor, target: Tensor, *, alpha: float, beta: float, mu: float
) -> Tensor:
    """The same with the classes ranked by probabilities of both heads, as the formula's symmetry suggests.

    Otherwise as `uskd_loss`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    of_target, of_others, of_weak = _terms(student_logits, weak_logits, target, log_ranks=False)
    return alpha * of_target + beta * of_others + mu * of_weak


def _terms(
    student_logits: Tensor, weak_logits: Tensor, target: Tensor, *, log_ranks: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms; the student's part of the ranks is its log-probabilities or its probabilities."""
    student, _ = prepare_logits(student_logits, weak_logits)
    weak = weak_logits.to(student.dtype)
    index = class_index(target, student)
    log_student = F.log_softmax(student, dim=1)
    confidence = at_class(log_student, index)
    of_target = -(_target_labels(confidence.detach()) * confidence).mean()

    own = log_student.detach() if log_ranks else log_student.detach().exp()
    of_head = F.softmax(weak.detach(), dim=1)
    law = _zipf(_without_target(of_head, index) + _without_target(own, index))
    others = without_class(law, index)
    others = others / others.sum(1, keepdim=True)
    log_others = F.log_softmax(without_class(student, index), dim=1)
    of_others = -(others * log_others).sum(1).mean()

    of_weak = F.cross_entropy(weak, index, label_smoothing=_SMOOTHING)
    return of_target, of_others, of_weak


def _target_labels(confidence: Tensor) -> Tensor:
    """The soft label `[B]` of the target class, from its log-probability."""
    squares = (2 * confidence).exp()
    count = squares.new_full((), len(squares))
    return squares + 1 - sum_over_processes(squares.sum()) / sum_over_processes(count)


def _without_target(values: Tensor, index: Tensor) -> Tensor:
    return values / (1 - at_class(values, index).unsqueeze(1) + _EPS)


def _zipf(scores: Tensor) -> Tensor:
    """1/rank of each class `[B, K]`; rank 1 has the largest score."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    law = 1 / torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    return torch.empty_like(scores).scatter_(1, order, law.expand_as(scores))


class USKD(nn.Module):
    """The distiller `uskd`, with the loss term `uskd`; its weak head is linear, on a pooled map of the student.

    Raises:
        UserError: the student has no such stage.
    """

    def __init__(self, options: USKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.head = nn.Linear(setup.student.stage(options.stage).channels, setup.num_classes)
        self.requires = Requires(teacher=False, student_stages=(options.stage,), target=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        if student.logits is None:
            raise ValueError("uskd needs the student's logits")
        pooled = at_least_float32(student.features[options.stage].map).mean((2, 3))
        with full_precision(pooled.device):
            weak = self.head(pooled)
        loss_of = uskd_loss if options.ranking == "released" else uskd_probability_loss
        loss = loss_of(
            student.logits,
            weak,
            target_of(batch, "uskd"),
            alpha=options.alpha,
            beta=options.beta,
            mu=options.mu,
        )
        return {"uskd": options.weight * loss}
