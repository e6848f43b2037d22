"""CWD: each channel's distribution over the places matches that of the teacher's channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.grids import on_one_grid
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import check_positive, check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.maps import CWDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def cwd_loss(student_map: Tensor, teacher_map: Tensor, temperature: float = 1.0) -> Tensor:
    """The KL divergence of each channel's softmax over the places, times temperature^2: the mean over channels.

    Both maps are `[B, C, H, W]` with the same shape. The gradient goes to the student only. The result is float32 if
    the maps have a narrower type, otherwise it has the type of the student's map. On a grid of 1x1 it is 0.

    Source: Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, equation 4, and the
    authors' code.

    Raises:
        ValueError: the shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    flat = (one.flatten(2) for one in (student, teacher))
    ours, theirs = (F.log_softmax(one if temperature == 1 else one / temperature, dim=2) for one in flat)
    divergence = F.kl_div(ours, theirs, reduction="sum", log_target=True)
    return divergence * (temperature**2 / (student.shape[0] * student.shape[1]))


class CWD(nn.Module):
    """The distiller `cwd`, with the loss term `cwd`: `cwd_loss` summed over the stages.

    If the numbers of channels differ, a trained 1x1 convolution comes first. Maps on two grids are averaged down to the
    smaller one; the authors' code has only equal grids.

    Raises:
        ValueError: there is no teacher, or the grid of a stage is 1x1.
        UserError: a model has no such stage.
    """

    def __init__(self, options: CWDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)
        self.aligns = nn.ModuleList()
        for pair, (of_student, of_teacher) in zip(self.pairs, shapes(self.pairs, setup), strict=True):
            smaller = [min(sides) for sides in zip(of_student.grid, of_teacher.grid, strict=True)]
            if smaller == [1, 1]:
                raise ValueError(
                    f"cwd compares places, and at stage {pair.student!r} of the student, {pair.teacher!r} of the "
                    "teacher, the grid has one place; use shallower stages or larger images"
                )
            same = of_student.channels == of_teacher.channels
            self.aligns.append(
                nn.Identity() if same else nn.Conv2d(of_student.channels, of_teacher.channels, 1)
            )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = []
        for align, pair in zip(self.aligns, maps(self.pairs, student, teacher), strict=True):
            ours, theirs = on_one_grid(*pair)
            losses.append(cwd_loss(align(ours), theirs, self.options.temperature))
        return {"cwd": self.options.weight * torch.stack(losses).sum()}
