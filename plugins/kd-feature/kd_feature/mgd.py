"""MGD: generate the teacher's map from the student's map with some channels hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.heads import generator, resized
from kd_feature.stages import maps, needed, shapes, stage_pairs
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.generation import MGDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup


def mgd_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The squared difference, summed over channels and places; the mean over the samples.

    Both maps are `[B, C, H, W]` with the same shape; the student's comes from the generator. The gradient goes to the
    student only. The result is float32 if the maps have a narrower type, otherwise it has the type of the student's.

    Source: Yang et al., "Masked Generative Distillation", ECCV 2022, equation 5, divided by B as in the authors' code.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    return F.mse_loss(student, teacher, reduction="sum") / student.shape[0]


class MGD(nn.Module):
    """The distiller `mgd`, with the loss term `mgd`: `mgd_loss` of the generated maps, summed over the stages.

    For each sample, `mask_ratio` of the channels are set to 0 (with `mask` "places": of the places). Then two
    convolutions generate the teacher's map. All places and channels count in the loss, hidden or not. If the grids
    differ, the student's map is first resized to the teacher's grid; the authors' code has only equal grids.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage.
    """

    def __init__(self, options: MGDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs)
        self.aligns, self.generators = nn.ModuleList(), nn.ModuleList()
        for of_student, of_teacher in shapes(self.pairs, setup):
            same = of_student.channels == of_teacher.channels
            self.aligns.append(
                nn.Identity() if same else nn.Conv2d(of_student.channels, of_teacher.channels, 1)
            )
            self.generators.append(generator(of_teacher.channels))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        losses = []
        pairs = maps(self.pairs, student, teacher)
        for align, generate, (ours, theirs) in zip(self.aligns, self.generators, pairs, strict=True):
            ours = align(resized(ours, (theirs.shape[2], theirs.shape[3])))
            losses.append(mgd_loss(generate(ours * self._mask(ours)), theirs))
        return {"mgd": self.options.weight * torch.stack(losses).sum()}

    def _mask(self, features: Tensor) -> Tensor:
        """0 for what is hidden and 1 for the rest: `[B, C, 1, 1]` or `[B, 1, H, W]`."""
        samples, channels, height, width = features.shape
        shape = (samples, channels, 1, 1) if self.options.mask == "channels" else (samples, 1, height, width)
        drawn = torch.rand(shape, device=features.device)
        return (drawn >= self.options.mask_ratio).to(features.dtype)
