"""CA-MKD on features: the student's translated map follows several teachers, weighted by their own classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from kdcore.ops import at_least_float32, class_index

if TYPE_CHECKING:
    from torch import Tensor


def camkd_feature_loss(
    student_maps: Tensor,
    teacher_maps: Tensor,
    crossed_logits: Tensor,
    target: Tensor,
) -> Tensor:
    """The mean over teachers and samples of w_m * MSE_m, w = (1 - softmax over teachers of CE(crossed_m, y)) / (M - 1).

    A teacher counts more if its classifier predicts the class from the student's map. The weights of a sample have the
    sum 1, and the mean over the teachers, as in the authors' code, divides by M once more. The weights are constants.

    Args:
        student_maps: the student's map after the translation for each teacher, `[M, B, C, H, W]`.
        teacher_maps: `[M, B, C, H, W]`; they get no gradient.
        crossed_logits: of each teacher's classifier for the student's translated map, `[M, B, K]`.
        target: class indices `[B]`, or probabilities `[B, K]`, whose most probable class is used.

    Returns:
        A scalar: float32 if the maps have a narrower type, otherwise of the type of the student's maps.

    Source: Zhang et al., "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022, equations 6 and 7, and
    the authors' `distiller_zoo/CAMKD.py`.

    Raises:
        ValueError: shapes or types do not fit, or there is one teacher only.
    """
    _check(student_maps, teacher_maps, crossed_logits)
    student = at_least_float32(student_maps)
    weights = teacher_weights(at_least_float32(crossed_logits.detach()).to(student.dtype), target)
    apart = F.mse_loss(student, teacher_maps.detach().to(student.dtype), reduction="none").flatten(2).mean(2)
    return (weights * apart).mean()


def teacher_weights(crossed_logits: Tensor, target: Tensor) -> Tensor:
    """The weight of each teacher and sample, `[M, B]`, from logits `[M, B, K]`; those of a sample have the sum 1."""
    count, samples, _ = crossed_logits.shape
    index = class_index(target, crossed_logits[0])
    wrong = F.cross_entropy(crossed_logits.flatten(0, 1), index.repeat(count), reduction="none")
    return (1 - F.softmax(wrong.view(count, samples), dim=0)) / (count - 1)


def _check(student: Tensor, teacher: Tensor, crossed: Tensor) -> None:
    for name, values, dims, layout in (
        ("student_maps", student, 5, "[M, B, C, H, W]"),
        ("teacher_maps", teacher, 5, "[M, B, C, H, W]"),
        ("crossed_logits", crossed, 3, "[M, B, K]"),
    ):
        if values.dim() != dims or not values.is_floating_point():
            raise ValueError(f"{name} is {values.dtype} of shape {list(values.shape)}; it must be {layout}")
    if student.shape != teacher.shape or student.shape[:2] != crossed.shape[:2]:
        raise ValueError(
            f"student_maps has shape {list(student.shape)}, teacher_maps {list(teacher.shape)} and crossed_logits "
            f"{list(crossed.shape)}; they must be of the same teachers and samples, and both maps of one shape"
        )
    if len(student) < 2:
        raise ValueError("there is one teacher, and this loss weighs at least 2 against each other")
