"""RLD: the student's confidence in the target follows the teacher's top score; ranks that are wrong are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class, divergence_without
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, class_index, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.decoupled import RLDOptions


def rld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    alpha_temperature: float,
) -> Tensor:
    """The loss alpha * sample confidence + beta * masked correlation, the mean over the batch.

    With p = softmax(logits/alpha_temperature), the target class y and the teacher's top class m, the first term is
    alpha_temperature^2 * KL of [pt_m, 1 - pt_m] against [ps_y, 1 - ps_y]: the teacher's confidence in its own class,
    for the student's target. The second is temperature^2 * KL over the classes that the teacher scores below the
    target, renormalised among themselves at `temperature`. A sample without such a class adds 0 to it.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class is
    used. The gradient goes to the student only. The result is float32 if the logits have a narrower type, otherwise it
    has the type of the student's logits.

    Source: Sun et al., "Knowledge Distillation with Refined Logits", ICCV 2025, and the authors'
    `mdistiller/distillers/RLD.py`.

    Raises:
        ValueError: shapes or types do not fit, or a temperature is not above 0.
    """
    confidence, correlation = rld_terms(
        student_logits, teacher_logits, target, temperature=temperature, alpha_temperature=alpha_temperature
    )
    return alpha * confidence + beta * correlation


def rld_terms(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    temperature: float,
    alpha_temperature: float,
) -> tuple[Tensor, Tensor]:
    """Sample confidence and masked correlation, unweighted; see `rld_loss`."""
    check_positive("temperature", temperature)
    check_positive("alpha_temperature", alpha_temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    index = class_index(target, student)
    log_teacher = _one_against_rest(teacher, teacher.argmax(dim=1), alpha_temperature)
    log_student = _one_against_rest(student, index, alpha_temperature)
    confidence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    left_out = teacher >= at_class(teacher, index).unsqueeze(1)
    correlation = divergence_without(student, teacher, left_out, temperature)
    return confidence * alpha_temperature**2, correlation


def _one_against_rest(logits: Tensor, index: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[B, 2]` of one class per sample and of all others together."""
    # log(1 - p) as a sum over the others: 1 - p itself is 0 in floating point if the model is certain
    rest = (logits / temperature).scatter_(1, index.unsqueeze(1), -torch.inf).logsumexp(dim=1)
    return F.log_softmax(torch.stack([at_class(logits, index) / temperature, rest], dim=1), dim=1)


class RLD(nn.Module):
    """The distiller `rld`, with the loss terms `confidence` and `correlation`."""

    def __init__(self, options: RLDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        own = options.alpha_temperature
        confidence, correlation = rld_terms(
            *read_logits(options, student, teacher, batch, "rld"),
            target_of(batch, "rld"),
            temperature=options.temperature,
            alpha_temperature=options.temperature if own is None else own,
        )
        return {
            "confidence": options.weight * options.alpha * confidence,
            "correlation": options.weight * options.beta * correlation,
        }
