"""The samples that a run is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore.data.subset import check_labels, choose_samples, some_labels
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.data.draws import Positions
    from kdcore.data.source import Source
    from kdcore.spec.models import DataSpec


@dataclass(frozen=True)
class TrainingSet:
    """The samples of a split that a run is trained on.

    Attributes:
        positions: the chosen positions in the source; None: all of them.
        size: their number; 0 for a stream of unknown length.
        labels: the class index of each `[N]`, -1 without one, or None.
        weights: the weight of each in sampling `[N]`, float64, or None.
    """

    positions: Positions | None
    size: int
    labels: Tensor | None
    weights: Tensor | None = None

    @property
    def some_labels(self) -> bool:
        """Whether only some of the samples have a label."""
        return some_labels(self.labels)


def training_set(source: Source, data: DataSpec, *, seed: int, num_classes: int) -> TrainingSet:
    """Choose the samples to train on: all of the split, or `data.train_samples` of a seeded, class-balanced draw.

    Raises:
        UserError: there are no samples, `train_samples` or `epoch_samples` does not fit, or a label is not one of the
            classes.
    """
    if not source.stream and len(source) == 0:
        raise UserError(Problem("data.train_split", "there are no training images"))
    if data.epoch_samples is not None and not source.stream:
        message = "only of a stream an epoch can be a part; this dataset is none"
        raise UserError(Problem("data.epoch_samples", message, data.epoch_samples, "null, and train_samples"))
    positions = choose_samples(source, data.train_samples, seed)
    if source.stream:
        return TrainingSet(None, len(source), None)
    labels = source.labels
    if labels is not None:
        labels = labels if positions is None else labels[positions]
        check_labels(labels, source.label_numbers(num_classes) or num_classes)
    weights = source.weights
    if weights is not None and positions is not None:
        weights = weights[positions]
    return TrainingSet(positions, len(source) if positions is None else len(positions), labels, weights)
