"""Functions that the losses share: checked arguments in a safe precision, and logits without the target class.

Nothing here reads a tensor's values, so a loss never waits for the device. There are no matrix products, so
autocast does not lower the precision once the logits are in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kdcore import Batch


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


def at_least_float32(logits: Tensor) -> Tensor:
    """The logits in float32 if their type is narrower, otherwise unchanged."""
    return logits if torch.finfo(logits.dtype).bits >= 32 else logits.float()


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not above 0.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")


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


def at_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B]` of `[B, K]` at one class per sample `[B]`."""
    return values.gather(1, index.unsqueeze(1)).squeeze(1)


def without_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B, K]` without one class per sample `[B]`, as `[B, K - 1]`; the others keep their order.

    This is exact. The original implementations of the methods subtract a constant from the logit instead, which
    fails if a logit is larger than that constant.
    """
    before = torch.arange(values.shape[1] - 1, device=values.device) < index.unsqueeze(1)
    return torch.where(before, values[:, :-1], values[:, 1:])


def target_of(batch: Batch, distiller: str) -> Tensor:
    """The batch's target.

    Raises:
        ValueError: the batch has no target.
    """
    if batch.target is None:
        raise ValueError(f"{distiller} reads the ground truth, and this batch has no target")
    return batch.target


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
