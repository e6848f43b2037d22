"""Functions that the losses share: checked arguments in a safe precision, and maps on one grid.

Nothing here reads a tensor's values, so a loss never waits for the device.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F


def prepare_features(
    student_features: Tensor, teacher_features: Tensor, *, dims: int | None = None
) -> tuple[Tensor, Tensor]:
    """Both features in the student's precision, float32 at least; those of the teacher are detached.

    Args:
        student_features: `[B, ...]`.
        teacher_features: `[B, ...]`.
        dims: number of dimensions that both must have; None: two or more.

    Raises:
        ValueError: they are not floating point, have another number of dimensions, or do not have the same B >= 1.
    """
    for name, features in (("student_features", student_features), ("teacher_features", teacher_features)):
        if not features.is_floating_point():
            raise ValueError(f"{name} is {features.dtype}; features must be floating point")
        if features.dim() != dims if dims is not None else features.dim() < 2:
            layout = {None: "[B, D] or [B, C, H, W]", 2: "[B, D]", 4: "[B, C, H, W]"}[dims]
            raise ValueError(f"{name} has shape {list(features.shape)}; it must be {layout}")
    samples = student_features.shape[0]
    if samples != teacher_features.shape[0] or samples < 1:
        raise ValueError(
            f"student_features has shape {list(student_features.shape)}, teacher_features "
            f"{list(teacher_features.shape)}; both must hold the same samples, at least one"
        )
    student = at_least_float32(student_features)
    return student, teacher_features.detach().to(student.dtype)


def check_same_shape(student_features: Tensor, teacher_features: Tensor) -> None:
    """Refuse features of different shapes.

    Raises:
        ValueError: the shapes differ.
    """
    if student_features.shape != teacher_features.shape:
        raise ValueError(
            f"student_features has shape {list(student_features.shape)}, teacher_features "
            f"{list(teacher_features.shape)}; this loss compares them element by element"
        )


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 if their type is narrower, otherwise unchanged."""
    return values if torch.finfo(values.dtype).bits >= 32 else values.float()


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast does not lower the precision of matrix products."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def on_one_grid(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps `[B, C, H, W]` averaged down to the smaller height and the smaller width of the two.

    RepDistiller's losses do this for square maps. Equal grids do not change.
    """
    grid = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return _pooled(student, grid), _pooled(teacher, grid)


def _pooled(features: Tensor, grid: tuple[int, int]) -> Tensor:
    return features if features.shape[2:] == grid else F.adaptive_avg_pool2d(features, grid)
