"""FSP: how the teacher's features go from one stage to the next, as products of two maps."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import check_same_channels, on_one_grid
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import full_precision, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.initial import FSPOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def fsp_loss(
    student_first: Tensor, student_second: Tensor, teacher_first: Tensor, teacher_second: Tensor
) -> Tensor:
    """The mean squared difference of both models' flows between two maps.

    A flow `[B, C1, C2]` is the mean over the places of the products of the channels of both maps of a model. The larger
    map of a model is averaged down to the grid of the smaller one.

    All maps are `[B, C, H, W]`; the channels of the first maps are equal, and those of the second maps. The gradient
    goes to the student only. The result is float32 if the maps have a narrower type, otherwise it has the type of the
    student's maps.

    Source: Yim et al., "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer
    Learning", CVPR 2017, equations 1 and 2, with the means of RepDistiller's `FSP`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_channels(student_first, teacher_first)
    check_same_channels(student_second, teacher_second)
    first, taught_first = prepare_features(student_first, teacher_first, dims=4)
    second, taught_second = prepare_features(student_second, teacher_second, dims=4)
    with full_precision(first.device):
        return F.mse_loss(_flow(first, second), _flow(taught_first, taught_second))


def _flow(first: Tensor, second: Tensor) -> Tensor:
    first, second = on_one_grid(first, second.to(first.dtype))
    return first.flatten(2) @ second.flatten(2).mT / (first.shape[2] * first.shape[3])


class FSP(nn.Module):
    """The distiller `fsp`, with the loss term `fsp`: `fsp_loss` between every two consecutive stages, summed.

    If the channels of a stage differ, a trained 1x1 convolution of the student's map comes first; the authors' models
    have equal channels.

    Raises:
        ValueError: there is no teacher, or there are fewer than two stages.
        UserError: a model has no such stage.
    """

    def __init__(self, options: FSPOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        if len(self.pairs) < 2:
            raise ValueError("fsp compares what happens between two stages; give 'stages' at least two")
        self.requires = needed(self.pairs)
        self.aligns = nn.ModuleList(
            nn.Identity() if s.channels == t.channels else nn.Conv2d(s.channels, t.channels, 1)
            for s, t in shapes(self.pairs, setup)
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        pairs = zip(self.aligns, maps(self.pairs, student, teacher), strict=True)
        both = [(align(ours), theirs) for align, (ours, theirs) in pairs]
        losses = [
            fsp_loss(first, second, taught_first, taught_second)
            for (first, taught_first), (second, taught_second) in pairwise(both)
        ]
        return {"fsp": self.options.weight * torch.stack(losses).sum()}
