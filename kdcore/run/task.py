"""The task loss of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.tasks import TaskLoss, class_weights, pos_weights

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.data.training_set import TrainingSet
    from kdcore.distill.splits import Splits
    from kdcore.spec.models import RunSpec


def task_loss(spec: RunSpec, chosen: TrainingSet, splits: Splits) -> TaskLoss:
    """The loss that `task` describes.

    Raises:
        UserError: weights do not fit the classes, or cannot be computed.
    """
    task, weights = spec.task, None
    if task.class_weights is not None:
        weights = class_weights(
            task.class_weights, num_classes=splits.num_classes, classes=splits.classes, labels=chosen.labels
        )
    return TaskLoss(
        kind=task.loss,
        label_smoothing=task.label_smoothing,
        class_weights=weights,
        threshold=task.bce_threshold,
        gamma=task.focal_gamma,
        labels=task.kind == "labels",
        pos_weight=_pos_weights(spec, chosen, splits),
    )


def _pos_weights(spec: RunSpec, chosen: TrainingSet, splits: Splits) -> Tensor | None:
    given, sets, labels = spec.task.pos_weight, splits.train.label_sets, chosen.labels
    if given is None:
        return None
    counts = samples = None
    if sets is not None and labels is not None:
        counts, samples = sets.counts(labels), sets.known(labels)
    return pos_weights(
        given,
        num_classes=splits.num_classes,
        classes=splits.classes,
        counts=counts,
        samples=samples,
    )
