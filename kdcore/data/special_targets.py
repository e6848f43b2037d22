"""Targets that are not classes: for an image without a label, and for one that evaluation leaves out."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED: Final = -1
"""The target of an image without a label; in targets `[B, K]` of each label that is not known."""

BROKEN: Final = -2
"""The target of an image that cannot be read, in targets `[B, K]` each value; evaluation leaves it out."""


def whole_label(label: Any) -> int:
    """A label as a class index: a whole number, or -1 for None.

    Raises:
        ValueError: it is something else, such as 3.7.
    """
    if label is None:
        return UNLABELLED
    if isinstance(label, float) and label.is_integer():
        return int(label)
    try:
        return index(label)
    except TypeError as error:
        raise ValueError(f"{label!r} is not a class index") from error


def has_label(target: Tensor) -> Tensor:
    """Which of the targets `[B]` are classes, or which rows of `[B, K]` have a label that is known: booleans `[B]`."""
    return target >= 0 if target.dim() == 1 else (target >= 0).any(dim=1)


def was_read(target: Tensor) -> Tensor:
    """Which of the targets `[B]` or `[B, K]` belong to an image that could be read: booleans `[B]`."""
    return target != BROKEN if target.dim() == 1 else (target != BROKEN).all(dim=1)


def without_labels(target: Tensor) -> Tensor:
    """The targets `[B]` or `[B, K]` with `UNLABELLED` instead of each class; broken images stay marked."""
    return target.clamp(max=UNLABELLED)
