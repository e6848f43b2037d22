"""ABKD: a family of divergences between KL and reverse KL, and beyond both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import ABKDOptions


def abkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, alpha: float, beta: float, temperature: float
) -> Tensor:
    """The alpha-beta divergence of softmax(t/T) and softmax(s/T), the mean over the batch; 0 if both agree.

    With p of the teacher and q of the student it is
    -1/(alpha*beta) * sum(p^alpha * q^beta - alpha/(alpha+beta) * p^(alpha+beta) - beta/(alpha+beta) * q^(alpha+beta)).
    Where alpha, beta or their sum is 0, its limit is used: (1, 0) is KL(p || q), (0, 1) is KL(q || p), and (0, 0) is
    half the squared difference of the log-probabilities. The authors' code lacks a factor 1/alpha or 1/beta there.
    There is no factor T^2.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits. With a negative alpha or beta the loss is infinite
    where a probability is 0.

    Source: Wang et al., "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge Distillation via
    alpha-beta-Divergence", ICML 2025, and the authors' `distiller_zoo/abkl.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    log_q = F.log_softmax(student / temperature, dim=1)
    log_p = F.log_softmax(teacher / temperature, dim=1)
    return _divergences(log_p, log_q, alpha, beta).mean()


def _divergences(log_p: Tensor, log_q: Tensor, alpha: float, beta: float) -> Tensor:
    """The divergence of each sample `[B]`, from log-probabilities."""
    both = alpha + beta
    if alpha == 0 and beta == 0:
        return (log_p - log_q).square().sum(dim=1) / 2
    if beta == 0:
        return _limit(log_p, log_q, alpha)
    if alpha == 0:
        return _limit(log_q, log_p, beta)
    if both == 0:
        apart = alpha * (log_p - log_q)
        return (apart.exp() - apart - 1).sum(dim=1) / alpha**2
    of_p = (both * log_p).exp().sum(dim=1)
    of_q = (both * log_q).exp().sum(dim=1)
    common = torch.add(alpha * log_p, log_q, alpha=beta).exp().sum(dim=1)
    return (alpha / both * of_p + beta / both * of_q - common) / (alpha * beta)


def _limit(log_p: Tensor, log_q: Tensor, alpha: float) -> Tensor:
    """The divergence where the other parameter is 0."""
    of_p, of_q = (alpha * log_p).exp(), (alpha * log_q).exp()
    return (of_p * alpha * (log_p - log_q) - of_p + of_q).sum(dim=1) / alpha**2


class ABKD(nn.Module):
    """The distiller `abkd`, with the loss term `abkd`."""

    def __init__(self, options: ABKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss = abkd_loss(
            *read_logits(options, student, teacher, batch, "abkd"),
            alpha=options.alpha,
            beta=options.beta,
            temperature=options.temperature,
        )
        return {"abkd": options.weight * loss}
