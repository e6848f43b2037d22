"""A step's samples of which only some have a label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from kdcore.data.special_targets import has_label
from kdcore.ops.processes import sum_over_processes, world_size
from kdcore.protocols import Batch, FeatureMap, ModelOutput

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.distill.teachers import Seen


@dataclass(frozen=True)
class Labelled:
    """Which samples of this process have a label.

    Attributes:
        mask: booleans `[B]`; with several labels an image, whether one of them is known.
        factor: the number of known labels, divided by the mean number of a process; None with one process.
    """

    mask: Tensor
    factor: Tensor | None

    @classmethod
    def of(cls, target: Tensor) -> Labelled:
        """The labelled samples of targets `[B]` or `[B, K]`. All processes must call it."""
        mask = has_label(target)
        if world_size() == 1:
            return cls(mask, None)
        return cls(mask, share_of_mean((target >= 0).sum().float()))

    def over_processes(self, mean: Tensor) -> Tensor:
        """A mean over this process's labelled samples, such that the mean over processes is that of the whole batch."""
        return mean if self.factor is None else mean * self.factor


def share_of_mean(amount: Tensor) -> Tensor:
    """What this process divides by, divided by the mean of all processes; 1 with one process. All must call it.

    A mean over a process's part, times this, averages over the processes to the mean over the whole batch.
    """
    if world_size() == 1:
        return torch.ones_like(amount)
    mean = sum_over_processes(amount) / world_size()
    return amount / torch.where(mean > 0, mean, 1.0)


def only_labelled(
    rows: Tensor, student: ModelOutput, teacher: Seen, batch: Batch
) -> tuple[ModelOutput, Seen, Batch]:
    """The arguments of a distiller for the labelled samples alone, whose numbers in the batch are `rows`."""
    local = batch.images
    if batch.labelled is not None and len(local) == len(
        batch.labelled
    ):  # else the images of one process of several
        local = local[rows]
    return _rows_of(student, rows), taught_rows(teacher, rows), replace(batch_rows(batch, rows), images=local)


def taught_rows(teacher: Seen, rows: Tensor) -> Seen:
    """These rows of what a teacher, or each of several, gave."""
    if teacher is None or isinstance(teacher, ModelOutput):
        return None if teacher is None else _rows_of(teacher, rows)
    return {name: _rows_of(one, rows) for name, one in teacher.items()}


def batch_rows(batch: Batch, rows: Tensor) -> Batch:
    """These rows of target and index; the images as they are."""
    target, index, labelled = (_rows(one, rows) for one in (batch.target, batch.index, batch.labelled))
    return Batch(batch.images, target, index, labelled)


def _rows_of(output: ModelOutput, rows: Tensor) -> ModelOutput:
    return replace(
        output,
        logits=_rows(output.logits, rows),
        features={
            stage: FeatureMap(one.map[rows], _rows(one.prefix, rows))
            for stage, one in output.features.items()
        },
        embedding=_rows(output.embedding, rows),
        views=tuple(_rows_of(view, rows) for view in output.views),
        distillation_logits=_rows(output.distillation_logits, rows),
        partner=None if output.partner is None else _rows_of(output.partner, rows),
    )


def _rows(tensor: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if tensor is None else tensor[rows]
