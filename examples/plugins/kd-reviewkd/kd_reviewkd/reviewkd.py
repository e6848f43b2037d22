"""ReviewKD: the teacher's map of each stage teaches the student's maps of that stage and of all deeper ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from kdcore import Batch, ModelInfo, ModelOutput, Progress, Requires, Setup, Stage
from torch import Tensor, nn
from torch.nn import functional as F

from kd_reviewkd.fusion import Fusion

if TYPE_CHECKING:
    from kd_reviewkd.options import ReviewKDOptions

_LEVELS = (4, 2, 1)  # grids to which the maps are averaged, in addition to their own
_MOST_CHANNELS = 512

Shape = tuple[int, tuple[int, int]]
"""Channels, and height and width."""


def hcl_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """The hierarchical context loss: mean squared differences of the maps, and of their averages on coarser grids.

    The grids are the map's own, with factor 1, and those of 4x4, 2x2 and 1x1 that are smaller in both directions, with
    factors 1/2, 1/4 and 1/8, in turn. The sum is divided by that of the factors.

    Both features are maps with the same shape `[B, C, H, W]`. The gradient goes to the student only. The result is
    float32 if the features have a narrower type, otherwise it has the type of the student's features.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, section 3.3; the factors are those of
    the authors' function `hcl`.

    Raises:
        ValueError: the shapes are not equal, or not of 4 dimensions.
    """
    if student_features.shape != teacher_features.shape or student_features.dim() != 4:
        raise ValueError(
            f"student_features has shape {list(student_features.shape)}, teacher_features "
            f"{list(teacher_features.shape)}; both must be [B, C, H, W], and equal"
        )
    student = student_features if torch.finfo(student_features.dtype).bits >= 32 else student_features.float()
    teacher = teacher_features.detach().to(student.dtype)
    loss = F.mse_loss(student, teacher)
    factor = total = 1.0
    for level in _LEVELS:
        if level < min(student.shape[2:]):
            factor /= 2
            total += factor
            ours, theirs = F.adaptive_avg_pool2d(student, level), F.adaptive_avg_pool2d(teacher, level)
            loss = loss + factor * F.mse_loss(ours, theirs)
    return loss / total


class ReviewKD(nn.Module):
    """The distiller `reviewkd`, with the loss term `reviewkd`: `hcl_loss` of the fused maps, summed over the stages.

    The fusion has batch norm, so that it sees the whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage, or gives no embedding.
    """

    def __init__(self, options: ReviewKDOptions, setup: Setup) -> None:
        super().__init__()
        if setup.teacher is None:
            raise ValueError("it learns from a teacher, and there is none")
        self.options = options
        pairs = [one if isinstance(one, tuple) else (one, one) for one in options.stages]
        self.student_stages = tuple(student for student, _ in pairs)
        self.teacher_stages = tuple(teacher for _, teacher in pairs)
        self.requires = Requires(
            student_stages=tuple(dict.fromkeys(self.student_stages)),
            teacher_stages=tuple(dict.fromkeys(self.teacher_stages)),
            student_embedding=options.embedding,
            teacher_embedding=options.embedding,
            whole_batch=True,
        )
        student = _shapes(setup.student, self.student_stages, options.embedding)
        teacher = _shapes(setup.teacher, self.teacher_stages, options.embedding)
        mid_channels = options.mid_channels or min(_MOST_CHANNELS, student[-1][0])
        self.fusions = nn.ModuleList(
            Fusion(channels, mid_channels, *wanted, deepest=number == len(student) - 1)
            for number, ((channels, _), wanted) in enumerate(zip(student, teacher, strict=True))
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The loss term, weighted.

        Raises:
            ValueError: the batch has one sample, of which batch norm can make nothing in a grid of 1x1.
        """
        ours = _maps(student, self.student_stages, self.options.embedding)
        theirs = _maps(teacher, self.teacher_stages, self.options.embedding)
        if self.training and any(one.numel() == one.shape[1] for one in (*ours, *theirs)):
            raise ValueError(
                "reviewkd has batch norm over the samples, and there is one only, with a grid of 1x1"
            )
        losses = []
        deeper: Tensor | None = None
        for fusion, features, wanted in reversed(list(zip(self.fusions, ours, theirs, strict=True))):
            reviewed, deeper = fusion(features, deeper)
            losses.append(hcl_loss(reviewed, wanted))
        weight = self.options.weight
        if self.options.warmup_epochs > 0:  # else nothing depends on how far the run is
            weight *= warmup_factor(progress.epoch, self.options.warmup_epochs)
        return {"reviewkd": weight * torch.stack(losses).sum()}


def warmup_factor(epoch: float, warmup_epochs: int) -> float:
    """How much of the loss counts in this epoch: constant within it, 1/warmup_epochs in the first.

    As mdistiller, which counts epochs from 1. The authors' own code counts from 0, and leaves the first epoch to the
    task loss.
    """
    return 1.0 if warmup_epochs == 0 else min((math.floor(epoch) + 1) / warmup_epochs, 1.0)


def _shapes(model: ModelInfo, stages: tuple[Stage, ...], embedding: bool) -> list[Shape]:
    """Of what is compared, from shallow to deep."""
    infos = [model.stage(stage) for stage in stages]
    shapes: list[Shape] = [(info.channels, info.grid) for info in infos]
    return [*shapes, (model.embedding_dim, (1, 1))] if embedding else shapes


def _maps(output: ModelOutput, stages: tuple[Stage, ...], embedding: bool) -> list[Tensor]:
    """The same, as maps `[B, C, H, W]`."""
    maps = [output.features[stage].map for stage in stages]
    if embedding:
        assert output.embedding is not None
        maps.append(output.embedding[:, :, None, None])
    return maps
