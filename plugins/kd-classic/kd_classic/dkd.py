"""DKD: KD in two parts: the teacher's confidence in the target class, and its ranking of the other classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class, without_class
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, class_index, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.decoupled import DKDOptions


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """The loss alpha * TCKD + beta * NCKD, the mean over the batch; 0 if both agree.

    With p = softmax(logits/T) and the target class y: TCKD is T^2 * KL of [p_y, 1 - p_y], and NCKD is
    T^2 * KL of the other classes, renormalised among themselves. With two classes NCKD is 0.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable
    class is used. The authors' code does not support soft labels; OFA-KD's port uses the most probable class.
    The gradient goes to the student only. The result is float32 if the logits have a narrower type, otherwise
    it has the type of the student's logits.

    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, equation 7.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    tckd, nckd = dkd_terms(student_logits, teacher_logits, target, temperature=temperature)
    return alpha * tckd + beta * nckd


def dkd_terms(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD, unweighted; see `dkd_loss`."""
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    tckd, nckd = decoupled_divergences(student, teacher, class_index(target, student), temperature)
    return tckd.mean(), nckd.mean()


def decoupled_divergences(
    student: Tensor, teacher: Tensor, index: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """TCKD and NCKD of each sample, `[B]` each: of logits `[B, K]` that `prepare_logits` gave, and of classes `[B]`."""
    student_target, student_others = _decouple(student / temperature, index)
    teacher_target, teacher_others = _decouple(teacher / temperature, index)
    tckd = F.kl_div(student_target, teacher_target, reduction="none", log_target=True).sum(1)
    nckd = F.kl_div(student_others, teacher_others, reduction="none", log_target=True).sum(1)
    return tckd * temperature**2, nckd * temperature**2


def _decouple(logits: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of target and rest `[B, 2]`, and of the other classes among themselves `[B, K - 1]`."""
    others = without_class(logits, index)
    # log(1 - p_y) as a sum over the others: 1 - p_y itself is 0 in floating point if the model is certain.
    both = torch.stack([at_class(logits, index), others.logsumexp(dim=1)], dim=1)
    return F.log_softmax(both, dim=1), F.log_softmax(others, dim=1)


class DKD(nn.Module):
    """The distiller `dkd`, with the loss terms `tckd` and `nckd`, and the authors' warm-up over both."""

    def __init__(self, options: DKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        logits = read_logits(options, student, teacher, batch, "dkd")
        tckd, nckd = dkd_terms(*logits, target_of(batch, "dkd"), temperature=options.temperature)
        weight = options.weight
        if options.warmup_epochs > 0:  # otherwise nothing depends on the epoch
            weight *= warmup_factor(progress.epoch, options.warmup_epochs)
        return {"tckd": weight * options.alpha * tckd, "nckd": weight * options.beta * nckd}


def warmup_factor(epoch: float, warmup_epochs: int) -> float:
    """The factor of the loss in this epoch: constant within an epoch, 1/warmup_epochs in the first one.

    The authors count epochs from 1.
    """
    return 1.0 if warmup_epochs == 0 else min((math.floor(epoch) + 1) / warmup_epochs, 1.0)
