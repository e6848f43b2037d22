"""ICKD: match the correlations between the teacher's channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_feature.grids import check_same_channels
from kd_feature.heads import conv_norm, unit
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import ICKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def ickd_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The squared difference of the products of every two channels, summed, divided by B C.

    The row of a channel, its products with all channels, is divided by its L2 norm.

    Both maps are `[B, C, H, W]`; B and C are equal, the grids may differ. The gradient goes to the student only. The
    result is float32 if the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Liu et al., "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation", ICCV 2021,
    equation 4, normalised as in the authors' code for CIFAR-100.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_channels(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    samples, channels = student.shape[:2]
    with full_precision(student.device):
        apart = _correlations(student) - _correlations(teacher)
    return apart.square().sum() / (channels * samples)


def _correlations(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return unit(flat @ flat.mT, dim=2)


class ICKD(nn.Module):
    """The distiller `ickd`, with the loss term `ickd`: `ickd_loss` after a 1x1 convolution and batch norm.

    Batch norm relates the samples, so it sees the whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: ICKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)
        self.embeds = nn.ModuleList(conv_norm(s.channels, t.channels) for s, t in shapes(self.pairs, setup))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        pairs = zip(self.embeds, maps(self.pairs, student, teacher), strict=True)
        losses = [ickd_loss(embed(ours), theirs) for embed, (ours, theirs) in pairs]
        return {"ickd": self.options.weight * torch.stack(losses).sum()}
