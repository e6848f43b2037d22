"""ScaleKD: queries at the teacher's places read the student's map, and match direction and detail of the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_feature.heads import unit
from kd_feature.stages import StagePair, maps, needed, shapes, stage_pairs, teacher_of
from kdcore.ops import check_same_shape, prepare_features

_THIRD, _LAST = StagePair(3, 3), StagePair(4, 4)

if TYPE_CHECKING:
    from kd_feature.options.generation import ScaleKDOptions
    from kdcore import Batch, ModelOutput, Progress, Setup, StageInfo


def scalekd_spatial_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The squared difference of the directions of both maps at each place, summed; the mean over the samples.

    Both maps are `[B, C, H, W]` with the same shape. The gradient goes to the student only. The result is float32 if
    the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Fan et al., "ScaleKD: Strong Vision Transformers Could Be Excellent Teachers", NeurIPS 2024, and the
    authors' `fmdv2.py`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    return _apart(student, teacher)


def scalekd_frequency_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The same without the mean of each channel over its places: what the authors do in the frequency domain.

    They set the constant part of a discrete cosine transform to 0 and transform back, which subtracts the mean.

    Both maps are `[B, C, H, W]` with the same shape. The gradient goes to the student only. The result is float32 if
    the maps have a narrower type, otherwise it has the type of the student's map.

    Source: Fan et al., NeurIPS 2024, and the authors' `fmdv2.py`.

    Raises:
        ValueError: the shapes or types do not fit.
    """
    check_same_shape(student_map, teacher_map)
    student, teacher = prepare_features(student_map, teacher_map, dims=4)
    student, teacher = (one - one.mean(dim=(2, 3), keepdim=True) for one in (student, teacher))
    return _apart(student, teacher)


def _apart(student: Tensor, teacher: Tensor) -> Tensor:
    apart = unit(student, dim=1) - unit(teacher, dim=1)
    return apart.square().sum() / student.shape[0]


class AttentionProjector(nn.Module):
    """Queries, one for each place of the teacher, attend to the student's map: to the teacher's shape.

    Args:
        student: shape of the student's stage.
        teacher: shape of the teacher's stage.
        heads: of the attention.
        softmax_scale: factor of the products of queries and keys.
        own_queries: the queries are trained; otherwise each call gives them.
    """

    def __init__(
        self,
        student: StageInfo,
        teacher: StageInfo,
        heads: int,
        softmax_scale: float,
        *,
        own_queries: bool = True,
    ) -> None:
        super().__init__()
        channels, width = student.channels, teacher.channels
        self.grid, self.heads, self.softmax_scale = teacher.grid, heads, softmax_scale
        self.of_student = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.position = nn.Parameter(torch.empty(1, channels, *student.grid))
        nn.init.trunc_normal_(self.position, std=0.02)
        places = teacher.grid[0] * teacher.grid[1]
        # without a gradient in any step, trained queries would stop a run of several processes
        self.query = nn.Embedding(places, width) if own_queries else None
        self.of_query = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU())
        self.q = nn.Linear(width, width)
        self.k, self.v = nn.Linear(channels, width), nn.Linear(channels, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, features: Tensor, places: Tensor | None = None) -> Tensor:
        """`[B, C, H, W]` of the student -> `[B, C', H', W']` of the teacher's shape.

        `places`, `[B, C', H', W']`, are the queries of a projector that has none of its own.
        """
        tokens = (self.of_student(features) + self.position).flatten(2).mT
        if places is None:
            assert self.query is not None
            places = self.query.weight.mT.reshape(1, -1, *self.grid)
        queries = self.of_query(places).flatten(2).mT.expand(len(features), -1, -1)
        q, k, v = (
            layer(given).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, given in ((self.q, queries), (self.k, tokens), (self.v, tokens))
        )
        scale = self.softmax_scale * q.shape[3] ** -0.5
        read = F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).flatten(2)
        read = self.norm(self.out(read))
        read = read + self.feed_forward(read)
        projected: Tensor = read.mT.reshape(len(features), -1, *self.grid)
        return projected


class ScaleKD(nn.Module):
    """The distiller `scalekd`, with the loss terms `spatial` and `frequency`, each through a projector of its own.

    The projectors have batch norm, so they see the whole batch. With `through_teacher`, two more projectors bring the
    student's stage 3 to the teacher's; the teacher's last stage, which is frozen, makes maps of them that have to match
    its stage 4 (terms `through_spatial`, `through_frequency`), and these maps are the queries of stage 4.

    Raises:
        ValueError: there is no teacher, the attention heads do not divide its channels, or with `through_teacher` the
            teacher has class tokens or 'stages' lacks stage 4.
        UserError: a model has no such stage, or its last stage cannot be run alone.
    """

    def __init__(self, options: ScaleKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.pairs = stage_pairs(options.stages)
        self.requires = needed(self.pairs, whole_batch=True)
        self.spatial, self.frequency = nn.ModuleList(), nn.ModuleList()
        for pair, found in zip(self.pairs, shapes(self.pairs, setup), strict=True):
            own = not (options.through_teacher and pair == _LAST)  # otherwise stage 3 gives the queries
            for projectors in (self.spatial, self.frequency):
                projectors.append(self._projector(*found, own_queries=own))
        self.third: nn.ModuleList | None = None
        self.kept: tuple[nn.Module, ...] = ()  # in a tuple, because it is not trained
        if options.through_teacher:
            self._through(setup)

    def _projector(
        self, of_student: StageInfo, of_teacher: StageInfo, *, own_queries: bool = True
    ) -> AttentionProjector:
        heads = self.options.heads or _heads(of_teacher.channels)
        if of_teacher.channels % heads:
            raise ValueError(
                f"'heads' is {heads}; it must divide the {of_teacher.channels} channels of the teacher's stage"
            )
        scale = self.options.softmax_scale
        return AttentionProjector(of_student, of_teacher, heads, scale, own_queries=own_queries)

    def _through(self, setup: Setup) -> None:
        """The projectors of stage 3, and the teacher's last stage."""
        teacher = teacher_of(setup)
        if _LAST not in self.pairs:
            raise ValueError("'through_teacher' needs stage 4 of both models among 'stages'")
        if teacher.stage(3).prefix_tokens:
            raise ValueError(
                f"'through_teacher' gives a map to the last stage of {teacher.name}, which reads a class token, too"
            )
        self.kept = (teacher.tail(3),)
        third = next(iter(shapes((_THIRD,), setup)))
        self.third = nn.ModuleList(self._projector(*third) for _ in range(2))
        self.requires = needed((*self.pairs, *(() if _THIRD in self.pairs else (_THIRD,))), whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        options = self.options
        of_spatial, of_frequency = (
            options.weight * options.spatial_weight,
            options.weight * options.frequency_weight,
        )
        spatial, frequency, terms = [], [], dict[str, Tensor]()
        queries: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.third is not None:
            target = teacher.features[4].map
            ours = student.features[3].map
            first, second = (self.kept[0](one(ours), stages=(4,)).features[4].map for one in self.third)
            queries = (first, second)
            terms["through_spatial"] = of_spatial * scalekd_spatial_loss(first, target)
            terms["through_frequency"] = of_frequency * scalekd_frequency_loss(second, target)
        given = zip(self.pairs, self.spatial, self.frequency, maps(self.pairs, student, teacher), strict=True)
        for pair, one, other, (ours, theirs) in given:
            places = queries if pair == _LAST else (None, None)
            spatial.append(scalekd_spatial_loss(one(ours, places[0]), theirs))
            frequency.append(scalekd_frequency_loss(other(ours, places[1]), theirs))
        return {
            "spatial": of_spatial * torch.stack(spatial).sum(),
            "frequency": of_frequency * torch.stack(frequency).sum(),
            **terms,
        }


def _heads(channels: int) -> int:
    """Attention heads of 64 channels, as in the authors' runs with Swin-L; fewer if they do not divide the channels."""
    return next(heads for heads in range(max(channels // 64, 1), 0, -1) if channels % heads == 0)
