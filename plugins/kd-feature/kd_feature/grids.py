"""Maps of two models on one grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def check_same_channels(student_map: Tensor, teacher_map: Tensor) -> None:
    """Refuse maps that differ in samples or channels; their grids may differ.

    Raises:
        ValueError: B or C differ.
    """
    if student_map.shape[:2] != teacher_map.shape[:2]:
        raise ValueError(
            f"student_map has shape {list(student_map.shape)}, teacher_map {list(teacher_map.shape)}; this loss "
            "compares their channels element by element, so B and C must be equal"
        )


def on_one_grid(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps `[B, C, H, W]` averaged down to the smaller height and the smaller width of the two.

    RepDistiller's losses do this for square maps. Equal grids do not change.
    """
    grid = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return _pooled(student, grid), _pooled(teacher, grid)


def _pooled(features: Tensor, grid: tuple[int, int]) -> Tensor:
    return features if features.shape[2:] == grid else F.adaptive_avg_pool2d(features, grid)
