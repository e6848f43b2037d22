"""What a logit distiller reads: the logits of both models, corrected and standardised as its options say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kd_classic.corrections import CORRECTIONS
from kd_classic.standardize import standardize_logits
from kd_classic.views import logits_of_views
from kdcore.ops import logits_of, target_of

if TYPE_CHECKING:
    from torch import Tensor

    from kd_classic.options.shared import CorrectOptions
    from kdcore import Batch, DistillerOptions, ModelOutput


def read_logits(
    options: DistillerOptions, student: ModelOutput, teacher: ModelOutput, batch: Batch, distiller: str
) -> tuple[Tensor, Tensor]:
    """The logits `[B, K]` of student and teacher, after `correct` and `standardize` of the options, if there are any.

    The order of both steps makes no difference: a correction only moves the values of a row, and its z-scores depend on
    the values, not on their places.

    Raises:
        ValueError: a model gives no logits, or the correction needs a target and the batch has none.
    """
    student_logits, teacher_logits = logits_of(student, teacher)
    teacher_logits = _corrected(options, teacher_logits, batch, distiller)
    if getattr(options, "standardize", False):
        student_logits, teacher_logits = (
            standardize_logits(student_logits),
            standardize_logits(teacher_logits),
        )
    return student_logits, teacher_logits


def read_views(
    options: CorrectOptions, student: ModelOutput, teacher: ModelOutput, batch: Batch, distiller: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits of both models for the first view, and for the second, after `correct` of the options.

    Raises:
        ValueError: a model gives no logits, or the correction needs a target and the batch has none.
    """
    weak_student, weak_teacher, strong_student, strong_teacher = logits_of_views(student, teacher)
    return (
        weak_student,
        _corrected(options, weak_teacher, batch, distiller),
        strong_student,
        _corrected(options, strong_teacher, batch, distiller),
    )


def _corrected(options: DistillerOptions, teacher_logits: Tensor, batch: Batch, distiller: str) -> Tensor:
    """The teacher's logits, corrected for the samples with a label."""
    correct: str | None = getattr(options, "correct", None)
    if correct is None:
        return teacher_logits
    target, labelled = target_of(batch, distiller), batch.labelled
    if labelled is None:
        return CORRECTIONS[correct](teacher_logits, target)
    mask = labelled.unsqueeze(1)
    known = torch.where(labelled if target.dim() == 1 else mask, target, 0)
    return torch.where(mask, CORRECTIONS[correct](teacher_logits, known), teacher_logits)
