"""Factors of the classes in the task loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from kdcore.errors import Problem, UserError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

_WHERE = "task.class_weights"
_POSITIVE = "task.pos_weight"


def class_weights(
    given: str | Sequence[float] | Mapping[str, float],
    *,
    num_classes: int,
    classes: Sequence[str] | None,
    labels: Tensor | None,
) -> Tensor:
    """The factor of each class `[K]`, float32.

    Args:
        given: `balanced`, a number for each class, or numbers by name; a class that is not named has 1.
        num_classes: K.
        classes: their names, if they are known.
        labels: the class of each training image `[N]`, -1 without one; None: not known.

    Raises:
        UserError: the numbers do not fit the classes, or `balanced` cannot be computed.
    """
    if isinstance(given, str):
        if labels is None:
            message = "the labels of this data are not known before training"
            raise UserError(Problem(_WHERE, message, given, "a number for each class"))
        return balanced_weights(labels, num_classes, classes)
    return _given(given, num_classes, classes, _WHERE)


def pos_weights(
    given: str | Sequence[float] | Mapping[str, float],
    *,
    num_classes: int,
    classes: Sequence[str] | None,
    counts: Tensor | None,
    samples: Tensor | None,
) -> Tensor:
    """The factor of the images that have a label, for each label `[K]`, float32.

    Args:
        given: `balanced`: images without the label divided by images with it; or as in `class_weights`.
        num_classes: K.
        classes: the labels' names, if they are known.
        counts: the training images that have each label `[K]`; None: not known.
        samples: for each label the training images for which it is known `[K]`; None: not known.

    Raises:
        UserError: the numbers do not fit the labels, or `balanced` cannot be computed.
    """
    if not isinstance(given, str):
        return _given(given, num_classes, classes, _POSITIVE)
    if counts is None or samples is None:
        message = "the labels of this data are not known before training"
        raise UserError(Problem(_POSITIVE, message, given, "a number for each label"))
    if empty := (counts == 0).nonzero().flatten().tolist():
        names = listed(str(index) if classes is None else classes[index] for index in empty)
        message = f"no training image has these labels, so they have no balanced weight: {names}"
        raise UserError(Problem(_POSITIVE, message, "balanced", "a number for each label"))
    return ((samples.double() - counts.double()) / counts.double()).float()


def _given(
    given: Sequence[float] | Mapping[str, float],
    num_classes: int,
    classes: Sequence[str] | None,
    where: str,
) -> Tensor:
    """The numbers of a list, or by name."""
    if not hasattr(given, "keys"):
        numbers: Sequence[Any] = list(given)
        if len(numbers) != num_classes:
            message = f"there are {len(numbers)} numbers for {num_classes} classes"
            raise UserError(Problem(where, message, allowed="a number for each class"))
        return torch.tensor(numbers, dtype=torch.float32)
    by_name: Mapping[str, float] = given  # type: ignore[assignment]  # it has keys
    if classes is None:
        message = "the names of this data's classes are not known"
        raise UserError(Problem(where, message, allowed="a list with a number for each class"))
    unknown = [name for name in by_name if name not in classes]
    if unknown:
        raise UserError(
            Problem(
                f"{where}.{name}",
                "the data has no class of this name",
                allowed=listed(classes, 10),
                nearest=nearest(name, classes),
            )
            for name in unknown
        )
    return torch.tensor([by_name.get(name, 1.0) for name in classes], dtype=torch.float32)


def balanced_weights(labels: Tensor, num_classes: int, classes: Sequence[str] | None = None) -> Tensor:
    """N / (K * N_k) for each class `[K]`, as scikit-learn's `balanced`: the mean over all samples is 1.

    Args:
        labels: the class of each sample `[N]`; -1: without one, not counted.
        num_classes: K.
        classes: their names, for messages.

    Raises:
        UserError: a class has no sample.
    """
    known = labels[labels >= 0]
    counts = torch.bincount(known, minlength=num_classes)
    if empty := (counts == 0).nonzero().flatten().tolist():
        names = listed(str(index) if classes is None else classes[index] for index in empty)
        message = f"these classes have no training image, so they have no balanced weight: {names}"
        raise UserError(Problem(_WHERE, message, "balanced", "a number for each class"))
    return (len(known) / (num_classes * counts.double())).float()
