"""What a logit distiller reads: the logits of both models, corrected and standardised as its options say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_classic.corrections import CORRECTIONS
from kd_classic.standardize import standardize_logits
from kdcore.ops import logits_of, target_of

if TYPE_CHECKING:
    from torch import Tensor

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
    correct: str | None = getattr(options, "correct", None)
    if correct is not None:
        teacher_logits = CORRECTIONS[correct](teacher_logits, target_of(batch, distiller))
    if getattr(options, "standardize", False):
        student_logits, teacher_logits = (
            standardize_logits(student_logits),
            standardize_logits(teacher_logits),
        )
    return student_logits, teacher_logits
