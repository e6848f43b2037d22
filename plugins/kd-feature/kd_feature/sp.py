"""SP: match the similarities between samples to those in the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.directions import unit
from kd_feature.stages import maps, needed, stage_pairs
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.relations import SPOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def sp_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The mean squared difference of both tables of similarities `[B, B]`.

    The similarity of two samples is the product of their flattened features; each row is divided by its L2 norm. The
    row of a sample of zeros stays 0, and gives no gradient.

    Both features are `[B, ...]`; only B has to be equal, so maps of any two grids can be compared. The gradient goes to
    the student only. The result is float32 if the features have a narrower type, otherwise it has the type of the
    student's features.

    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = prepare_features(student_features, teacher_features)
    with full_precision(student.device):
        return F.mse_loss(_similarities(student), _similarities(teacher))


def _similarities(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return unit(flat @ flat.T)  # a row of zeros has no direction, and gives no gradient


class SP(nn.Module):
    """The distiller `sp`, with the loss term `sp`: `sp_loss` summed over the stages."""

    def __init__(self, options: SPOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = [sp_loss(*pair) for pair in maps(self.pairs, student, teacher)]
        return {"sp": self.options.weight * torch.stack(losses).sum()}
