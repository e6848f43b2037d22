"""What the losses of a weak and a strong view read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.ops import logits_of

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore import ModelOutput


def logits_of_views(student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits of student and teacher for the weak view, and then for the strong view.

    Raises:
        ValueError: there are no two views, or a model gives no logits.
    """
    if len(student.views) < 2 or len(teacher.views) < 2:
        raise ValueError("two views of each image are needed, and they are missing")
    return *logits_of(student.views[0], teacher.views[0]), *logits_of(student.views[1], teacher.views[1])
