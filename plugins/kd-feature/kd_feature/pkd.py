"""PKD: each channel's values over the batch correlate with those of the teacher's channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import PKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup

_EPS = 1e-6  # from MMRazor's code: added to the standard deviation
_SMALLEST = 1e-30  # of a variance, so that its root has a gradient


def pkd_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Half the mean squared difference of the standardised maps, which is about 1 - the correlation.

    Each channel is standardised over samples and places, with the unbiased deviation plus 1e-6. A channel with one
    value has deviation 0, so then the loss is 0.

    Both maps are `[B, C, H, W]` with the same shape. The gradient goes to the student only. The result is float32 if
    the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Cao et al., "PKD: General Distillation Framework for Object Detectors via Pearson Correlation Coefficient",
    NeurIPS 2022, equation 4, and MMRazor's `PKDLoss`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    return F.mse_loss(_standardised(student), _standardised(teacher)) / 2


def _standardised(features: Tensor) -> Tensor:
    values = features.shape[0] * features.shape[2] * features.shape[3]
    variance, mean = torch.var_mean(features, dim=(0, 2, 3), keepdim=True, correction=int(values > 1))
    return (features - mean) / (variance.clamp(min=_SMALLEST).sqrt() + _EPS)


class PKD(nn.Module):
    """The distiller `pkd`, with the loss term `pkd`: `pkd_loss` summed over the stages.

    A map of the student on another grid is resized bilinearly to the teacher's. If the numbers of channels differ, a
    trained 1x1 convolution comes first; the paper's detectors have equal channels. The statistics are those of the
    whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: PKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)
        self.aligns = nn.ModuleList(
            nn.Identity() if s.channels == t.channels else nn.Conv2d(s.channels, t.channels, 1)
            for s, t in shapes(self.pairs, setup)
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = []
        for align, (ours, theirs) in zip(self.aligns, maps(self.pairs, student, teacher), strict=True):
            if ours.shape[2:] != theirs.shape[2:]:
                ours = F.interpolate(ours, theirs.shape[2:], mode="bilinear", align_corners=False)
            losses.append(pkd_loss(align(ours), theirs))
        return {"pkd": self.options.weight * torch.stack(losses).sum()}
