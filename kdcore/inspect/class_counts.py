"""Precision, recall and F1 of classes, from counts of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassCounts:
    """Counts for each class, `[..., K]`: the leading dimensions are those of several samples of the images.

    Attributes:
        right: images that have the class and get it.
        images: images that have it.
        predicted: images that get it.
    """

    right: Tensor
    images: Tensor
    predicted: Tensor

    @property
    def precision(self) -> Tensor:
        """Percent of the images that get a class and have it `[..., K]`; 0 for a class that no image gets."""
        return _percent(self.right, self.predicted)

    @property
    def recall(self) -> Tensor:
        """Percent of the images that have a class and get it `[..., K]`; 0 for a class that no image has."""
        return _percent(self.right, self.images)

    @property
    def f1(self) -> Tensor:
        """The harmonic mean of precision and recall in percent `[..., K]`; 0 where both are 0."""
        return _percent(2 * self.right, self.images + self.predicted)

    def averages(self) -> dict[str, Tensor]:
        """The measures over all classes, in percent `[...]`.

        - `balanced_accuracy`: the mean recall of the classes that have images.
        - `macro_*`: the mean over the classes that have images or get some.
        - `weighted_*`: the mean weighted by the images of each class.

        Source: scikit-learn's `balanced_accuracy_score` and `precision_recall_fscore_support` with zero_division 0.
        """
        seen = (self.images > 0).double()
        used = ((self.images > 0) | (self.predicted > 0)).double()
        parts = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {
            "balanced_accuracy": _mean(self.recall, seen),
            **{f"macro_{name}": _mean(value, used) for name, value in parts.items()},
            **{f"weighted_{name}": _mean(value, self.images.double()) for name, value in parts.items()},
        }


def count_classes(predicted: Tensor, target: Tensor, num_classes: int) -> ClassCounts:
    """The counts of labelled images.

    Args:
        predicted: the class that each image gets `[N]`.
        target: its class `[N]`.
        num_classes: K.
    """
    return ClassCounts(
        right=torch.bincount(target[predicted == target], minlength=num_classes),
        images=torch.bincount(target, minlength=num_classes),
        predicted=torch.bincount(predicted, minlength=num_classes),
    )


def _percent(part: Tensor, whole: Tensor) -> Tensor:
    return 100 * part.double() / whole.double().clamp(min=1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)
