"""ReviewKD: the student's maps of a stage and all deeper ones together match the teacher's map of that stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.activations import pairs_before_activation
from kd_feature.fusion import Fusion
from kd_feature.stages import needed, stage_pairs, teacher_of
from kdcore.ops import check_same_shape, prepare_features

if TYPE_CHECKING:
    from kd_feature.options.generation import ReviewKDOptions
    from kdcore import Batch, ModelInfo, ModelOutput, Progress, Setup, Stage

_LEVELS = (4, 2, 1)  # grids to which the maps are averaged, in addition to their own
_MOST_CHANNELS = 512


def review_hcl_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The hierarchical context loss: mean squared differences of the maps, and of their averages on coarser grids.

    The grids are the map's own, with factor 1, and those of 4x4, 2x2 and 1x1 that are lower than the map, with factors
    1/2, 1/4 and 1/8 in turn. The sum is divided by that of the factors.

    Both maps are `[B, C, H, W]` with the same shape. The gradient goes to the student only. The result is float32 if
    the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, section 3.3; the factors are those of
    the authors' function `hcl`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    loss = F.mse_loss(student, teacher)
    factor = total = 1.0
    for level in _LEVELS:
        if level < student.shape[2]:
            factor /= 2
            total += factor
            ours, theirs = (F.adaptive_avg_pool2d(one, level) for one in (student, teacher))
            loss = loss + factor * F.mse_loss(ours, theirs)
    return loss / total


class ReviewKD(nn.Module):
    """The distiller `reviewkd`, with the loss term `reviewkd`: `review_hcl_loss` of the fused maps, summed.

    The fusion has batch norm, so it sees the whole batch.

    Raises:
        ValueError: there is no teacher.
        UserError: a model has no such stage, or gives no embedding.
    """

    def __init__(self, options: ReviewKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        pairs = stage_pairs(options.stages)
        if options.pre_activation:
            pairs = pairs_before_activation(pairs, setup.student, teacher_of(setup))
        self.pairs = pairs
        self.requires = needed(pairs, whole_batch=True, embedding=options.embedding)
        student = _shapes(setup.student, [pair.student for pair in pairs], options.embedding)
        teacher = _shapes(teacher_of(setup), [pair.teacher for pair in pairs], options.embedding)
        middle = options.mid_channels or min(_MOST_CHANNELS, student[-1][0])
        self.fusions = nn.ModuleList(
            Fusion(channels, middle, *wanted, deepest=number == len(student) - 1)
            for number, ((channels, _), wanted) in enumerate(zip(student, teacher, strict=True))
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        ours = _maps(student, [pair.student for pair in self.pairs], self.options.embedding)
        theirs = _maps(teacher, [pair.teacher for pair in self.pairs], self.options.embedding)
        losses = []
        deeper: Tensor | None = None
        for fusion, features, wanted in reversed(list(zip(self.fusions, ours, theirs, strict=True))):
            reviewed, deeper = fusion(features, deeper)
            losses.append(review_hcl_loss(reviewed, wanted))
        return {"reviewkd": self.options.weight * torch.stack(losses).sum()}


def _shapes(model: ModelInfo, stages: list[Stage], embedding: bool) -> list[tuple[int, tuple[int, int]]]:
    """Channels and grid of what is compared, from shallow to deep."""
    infos = [model.stage(stage) for stage in stages]
    shapes = [(info.channels, info.grid) for info in infos]
    return [*shapes, (model.embedding_dim, (1, 1))] if embedding else shapes


def _maps(output: ModelOutput, stages: list[Stage], embedding: bool) -> list[Tensor]:
    """The same, as maps `[B, C, H, W]`."""
    maps = [output.features[stage].map for stage in stages]
    if embedding:
        assert output.embedding is not None
        maps.append(output.embedding[:, :, None, None])
    return maps
