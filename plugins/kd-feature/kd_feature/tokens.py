"""Feature maps as tokens: patches, the class token, two models on one grid, and the stage behind the last norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from kd_feature.stages import teacher_of
from kdcore import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore import FeatureMap, ModelInfo, Setup, Stage, StageInfo

LAST = "last"
"""In options: the output of the last norm of a transformer, otherwise stage 4."""


def patches(features: Tensor) -> Tensor:
    """A map `[B, C, H, W]` as tokens `[B, H * W, C]`, row by row."""
    return features.flatten(2).transpose(1, 2)


def check_tokens(student: Tensor, teacher: Tensor) -> None:
    """Refuse tokens that are not `[B, N, D]` with equal B and N.

    Raises:
        ValueError: in this case.
    """
    if student.dim() != 3 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            f"the student's tokens have the shape {list(student.shape)}, the teacher's {list(teacher.shape)}; both "
            "must be [B, N, D] with equal B and N, because this loss compares their tables element by element"
        )


def class_token(feature: FeatureMap) -> Tensor:
    """The class token `[B, C]`: the first prefix token, or the mean of the map if the model has none."""
    return feature.map.mean(dim=(2, 3)) if feature.prefix is None else feature.prefix[:, 0]


def all_tokens(feature: FeatureMap, grid: tuple[int, int]) -> Tensor:
    """The class token and the patches on a grid, `[B, 1 + h * w, C]`; register tokens are left out."""
    return torch.cat([class_token(feature).unsqueeze(1), patches(on_grid(feature.map, grid))], dim=1)


def on_grid(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map `[B, C, H, W]`, resized bilinearly to another grid."""
    if tuple(features.shape[2:]) == tuple(grid):
        return features
    return F.interpolate(features, grid, mode="bilinear", align_corners=False)


def blocks_of(model: ModelInfo) -> tuple[str, ...]:
    """The paths of a transformer's blocks, if it has them in one list `blocks` and on one grid; otherwise nothing."""
    try:
        count = len(list(model.module("blocks").children()))
        paths = tuple(f"blocks.{number}" for number in range(count))
        grids = {model.stage(path).grid for path in {*paths[:1], *paths[-2:]}}
    except (UserError, ValueError):  # no such module, or a model that is only shapes
        return ()
    return paths if grids == {model.stage(4).grid} else ()


def resolved(stage: Stage, model: ModelInfo) -> Stage:
    """The stage that an option names for a model; `last` is `norm` if there is such a module, otherwise 4.

    The numbered stages of a transformer come before its last norm, and what foundation models are read for comes after
    it. A CNN has no such norm.
    """
    if stage != LAST:
        return stage
    try:
        found: StageInfo = model.stage("norm")
    except UserError:
        return 4
    return "norm" if len(found.grid) == 2 and found.grid == model.stage(4).grid else 4


def resolved_pair(of_student: Stage, of_teacher: Stage, setup: Setup) -> tuple[Stage, Stage]:
    """The stages that options name for the student and for the teacher.

    Raises:
        ValueError: there is no teacher.
    """
    return resolved(of_student, setup.student), resolved(of_teacher, teacher_of(setup))
