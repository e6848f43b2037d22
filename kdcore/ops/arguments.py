"""Arguments of losses: checked, and in a precision that is safe to compute with.

Nothing here reads a tensor's values, so a loss never waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore.ops.precision import at_least_float32


def check_positive(name: str, value: float) -> None:
    """Refuse a parameter that is not above 0, such as a temperature.

    Raises:
        ValueError: the value is 0, negative or NaN.
    """
    if not value > 0:
        raise ValueError(f"{name} is {value}; it must be above 0")


def prepare_logits(student_logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Both logits `[B, K]` in the student's precision, float32 at least; those of the teacher are detached.

    Raises:
        ValueError: they are not floating point, not of one shape `[B, K]`, or B < 1 or K < 2.
    """
    for name, logits in (("student_logits", student_logits), ("teacher_logits", teacher_logits)):
        if not logits.is_floating_point():
            raise ValueError(f"{name} is {logits.dtype}; logits must be floating point")
        if logits.dim() != 2:
            raise ValueError(f"{name} has shape {_shape(logits)}; it must be [B, K]")
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student_logits has shape {_shape(student_logits)}, teacher_logits {_shape(teacher_logits)}; "
            "both must score the same samples over the same classes, [B, K]"
        )
    samples, classes = student_logits.shape
    if samples < 1 or classes < 2:
        raise ValueError(
            f"logits have shape {[samples, classes]}; they need at least one sample and two classes"
        )
    student = at_least_float32(student_logits)
    return student, teacher_logits.detach().to(student.dtype)


def class_index(target: Tensor, logits: Tensor) -> Tensor:
    """The class index `[B]` of a target: the target itself, or the most probable class of probabilities `[B, K]`.

    Indices outside 0..K-1 are not checked here, because that would make every step wait for the device;
    torch's own indexing raises on the CPU.

    Raises:
        ValueError: the target is neither integers `[B]` nor floating point `[B, K]` for the logits.
    """
    is_index = not (target.is_floating_point() or target.is_complex() or target.dtype == torch.bool)
    if is_index and target.shape == logits.shape[:1]:
        return target.long()
    if target.is_floating_point() and target.shape == logits.shape:
        return target.argmax(dim=1)
    raise ValueError(
        f"target is {target.dtype} of shape {_shape(target)}; it must be class indices (integers) of shape "
        f"{[logits.shape[0]]} or probabilities (floating point) of shape {_shape(logits)}"
    )


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
            raise ValueError(f"{name} has shape {_shape(features)}; it must be {_layout(dims)}")
    samples = student_features.shape[0]
    if samples != teacher_features.shape[0] or samples < 1:
        raise ValueError(
            f"student_features has shape {_shape(student_features)}, teacher_features "
            f"{_shape(teacher_features)}; both must hold the same samples, at least one"
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
            f"student_features has shape {_shape(student_features)}, teacher_features "
            f"{_shape(teacher_features)}; this loss compares them element by element"
        )


def _layout(dims: int | None) -> str:
    layouts = {None: "[B, D] or [B, C, H, W]", 2: "[B, D]", 3: "[B, N, C]", 4: "[B, C, H, W]"}
    return layouts.get(dims, f"of {dims} dimensions, the first of which is B")


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
