"""NST: match the positions that the student's channels select, as a set, to those of the teacher's channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.stages import maps, needed, stage_pairs
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import NSTOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def nst_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The squared maximum mean discrepancy between both models' channels, the mean over the batch.

    A channel is its map, flattened and divided by its L2 norm. The kernel of two channels is their squared product.

    Both features are maps `[B, C, H, W]`; only B has to be equal. The larger grid is first averaged down to the other
    one. The gradient goes to the student only. The result is float32 if the features have a narrower type, otherwise
    it has the type of the student's features.

    Source: Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, with
    the polynomial kernel (d = 2, c = 0).

    Raises:
        ValueError: the shapes or types do not fit.
    """
    student, teacher = on_one_grid(*prepare_features(student_features, teacher_features, dims=4))
    ours, theirs = F.normalize(student.flatten(2), dim=2), F.normalize(teacher.flatten(2), dim=2)
    channels, others, places = ours.shape[1], theirs.shape[1], ours.shape[2]
    with full_precision(student.device):
        if places**2 <= channels**2 + channels * others + others**2:
            # The mean of <a, b>^2 over channels a of A and b of B is the product of the tables A^T A / |A| and
            # B^T B / |B| [places, places], so the three means are the square of one difference.
            difference = ours.mT @ ours / channels - theirs.mT @ theirs / others
            return difference.square().sum(dim=(1, 2)).mean()
        return _kernel(ours, ours) + _kernel(theirs, theirs) - 2 * _kernel(ours, theirs)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.mT).square().mean()


class NST(nn.Module):
    """The distiller `nst`, with the loss term `nst`: `nst_loss` summed over the stages."""

    def __init__(self, options: NSTOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = [nst_loss(*pair) for pair in maps(self.pairs, student, teacher)]
        return {"nst": self.options.weight * torch.stack(losses).sum()}
