"""Correct a teacher that is wrong: give the target class its largest logit, and keep the values that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kd_classic.logits import divergences
from kdcore.ops import check_positive, class_index, prepare_logits

if TYPE_CHECKING:
    from collections.abc import Callable


def swap_logits(teacher_logits: Tensor, target: Tensor) -> Tensor:
    """The teacher's logits `[B, K]` with the values of the target class and of the largest logit exchanged.

    A row in which the target has the largest logit stays as it is. The target is class indices `[B]`, or
    probabilities `[B, K]`, whose most probable class is used.

    Source: the label adjustment that RLD (Sun et al., ICCV 2025) compares with, `SWAP.py` in the authors' code.

    Raises:
        ValueError: the target does not fit the logits.
    """
    own = class_index(target, teacher_logits).unsqueeze(1)
    largest, top = teacher_logits.max(dim=1, keepdim=True)
    return teacher_logits.scatter(1, top, teacher_logits.gather(1, own)).scatter(1, own, largest)


def sort_logits(teacher_logits: Tensor, target: Tensor) -> Tensor:
    """The teacher's logits `[B, K]` with the target class moved to the first rank.

    The target gets the largest value, and each class that was above it gets the next smaller value of the row. So
    the order of the other classes stays. The target is class indices `[B]`, or probabilities `[B, K]`, whose most
    probable class is used.

    Source: the authors' code of SortKD.

    Raises:
        ValueError: the target does not fit the logits.
    """
    own = class_index(target, teacher_logits).unsqueeze(1)
    values, order = teacher_logits.sort(dim=1, descending=True, stable=True)
    place = (order == own).to(torch.uint8).argmax(dim=1, keepdim=True)
    ranks = torch.arange(values.shape[1], device=values.device)
    # rank r takes the value of rank r + 1 if the target is below it; the target's own rank takes the first value
    taken = torch.where(ranks < place, ranks + 1, torch.where(ranks == place, 0, ranks))
    return torch.empty_like(values).scatter(1, order, values.gather(1, taken))


CORRECTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"swap": swap_logits, "sort": sort_logits}
"""By the name that the option `correct` has for it."""


def swap_kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """KD with the teacher's logits after `swap_logits`: T^2 * KL, the mean over the batch.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class
    is used. The gradient goes to the student only. The result is float32 if the logits have a narrower type,
    otherwise it has the type of the student's logits.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    return divergences(student, swap_logits(teacher, target), temperature).mean()


def sort_kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """KD with the teacher's logits after `sort_logits`; otherwise as `swap_kd_loss`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    return divergences(student, sort_logits(teacher, target), temperature).mean()
