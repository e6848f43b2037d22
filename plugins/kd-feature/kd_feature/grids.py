"""Maps of two models on one grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def on_one_grid(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps `[B, C, H, W]` averaged down to the smaller height and the smaller width of the two.

    RepDistiller's losses do this for square maps. Equal grids do not change.
    """
    grid = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return _pooled(student, grid), _pooled(teacher, grid)


def _pooled(features: Tensor, grid: tuple[int, int]) -> Tensor:
    return features if features.shape[2:] == grid else F.adaptive_avg_pool2d(features, grid)
