"""SDD: distill regions of the image, and give more weight to those where the teacher changes its mind."""

from __future__ import annotations

import torch
from torch import Tensor

from kd_classic.dkd import decoupled_divergences
from kd_classic.logits import divergences
from kdcore.ops import check_positive, class_index, prepare_logits

_DISSENT = 2.0  # the weight of a region that disagrees with the whole image, from the authors' code


def sdd_kd_loss(
    student_region_logits: Tensor, teacher_region_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """KD for each region of an image: the mean over samples and regions of weight * T^2 * KL.

    Region 0 is the whole image, with weight 1. Another region has weight 2 if the teacher is right about it and wrong
    about the whole image, or the reverse; otherwise 1.

    Both logits are `[B, K, N]` for N regions. The target is class indices `[B]`, or probabilities `[B, K]`, whose most
    probable class is used. The gradient goes to the student only. The result is float32 if the logits have a narrower
    type, otherwise it has the type of the student's logits.

    Source: Luo, "Scale Decoupled Distillation", CVPR 2024, and the authors' `mdistiller/distillers/KD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher, index = _by_region(student_region_logits, teacher_region_logits, target)
    return (_weights(teacher, index) * divergences(student, teacher, temperature)).mean()


def sdd_dkd_loss(
    student_region_logits: Tensor,
    teacher_region_logits: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """DKD for each region of an image: the mean of weight * (alpha * TCKD + beta * NCKD).

    Shapes, weights and types are those of `sdd_kd_loss`; the two parts are those of `dkd_loss`.

    Source: Luo, "Scale Decoupled Distillation", CVPR 2024, and the authors' `mdistiller/distillers/SDD_DKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher, index = _by_region(student_region_logits, teacher_region_logits, target)
    regions, samples, classes = student.shape
    of_target, of_others = decoupled_divergences(
        student.reshape(-1, classes), teacher.reshape(-1, classes), index.repeat(regions), temperature
    )
    losses = (alpha * of_target + beta * of_others).view(regions, samples)
    return (_weights(teacher, index) * losses).mean()


def _by_region(student: Tensor, teacher: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits as `[N, B, K]`, in the precision of the loss, and the class indices `[B]`."""
    for name, logits in (("student_region_logits", student), ("teacher_region_logits", teacher)):
        if logits.dim() != 3 or logits.shape[2] < 1:
            raise ValueError(f"{name} has shape {list(logits.shape)}; it must be [B, K, N]")
    if student.shape != teacher.shape:
        raise ValueError(
            f"student_region_logits has shape {list(student.shape)}, teacher_region_logits {list(teacher.shape)}; "
            "both must score the same regions of the same samples"
        )
    whole, _ = prepare_logits(student[..., 0], teacher[..., 0])
    index = class_index(target, whole)
    return student.permute(2, 0, 1).to(whole.dtype), teacher.detach().permute(2, 0, 1).to(whole.dtype), index


def _weights(teacher: Tensor, index: Tensor) -> Tensor:
    """The weight of each region and sample, `[N, B]`."""
    right = teacher.argmax(dim=2) == index
    return torch.where(right != right[0], _DISSENT, 1.0).to(teacher.dtype)
