"""What a distiller reads of both models and of the batch, refused with a clear message if it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.protocols import Batch, ModelOutput


def logits_of(student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
    """The logits `[B, K]` of student and teacher.

    Raises:
        ValueError: a model gives no logits.
    """
    return _both("logits", student.logits, teacher.logits)


def embeddings_of(student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
    """The embeddings `[B, D]` of student and teacher.

    Raises:
        ValueError: a model gives no embedding.
    """
    return _both("embedding", student.embedding, teacher.embedding)


def target_of(batch: Batch, distiller: str) -> Tensor:
    """The batch's target: class indices `[B]` or probabilities `[B, K]`.

    Raises:
        ValueError: the batch has no target; the message names the distiller.
    """
    if batch.target is None:
        raise ValueError(f"{distiller} reads the ground truth, and this batch has no target")
    return batch.target


def _both(what: str, student: Tensor | None, teacher: Tensor | None) -> tuple[Tensor, Tensor]:
    if student is None or teacher is None:
        missing = "student" if student is None else "teacher"
        are = "are" if what == "logits" else "is"
        raise ValueError(f"the {what} of both models {are} needed, and the {missing}'s {are} missing")
    return student, teacher
