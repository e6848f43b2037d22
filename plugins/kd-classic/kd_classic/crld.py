"""CRLD: a weak and a strong view of each image, matched within and across the views where the teacher is sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import divergences
from kd_classic.read import read_views
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.relations import CRLDOptions


def crld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_logits_strong: Tensor,
    teacher_logits_strong: Tensor,
    *,
    temperature: float,
    within_weight: float,
    cross_weight: float,
    weak_threshold: float,
    strong_threshold: float,
) -> Tensor:
    """KD within each view and across both, for the samples of which the teacher is sure.

    With D = T^2 * KL of one sample, and ' for the strong view, the loss is the mean over the batch of
    within_weight * (D(s, t) + D(s', t')) where max softmax(t) >= weak_threshold, plus
    cross_weight * (D(s', t) + D(s, t')) where max softmax(t') >= strong_threshold.

    All logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a narrower
    type, otherwise it has the type of the student's logits.

    Source: Zhang et al., "Cross-View Consistency Regularisation for Knowledge Distillation", ACM MM 2024, as DeepKD's
    code computes it.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    weak, of_weak = prepare_logits(student_logits, teacher_logits)
    strong, of_strong = (
        logits.to(weak.dtype) for logits in prepare_logits(student_logits_strong, teacher_logits_strong)
    )
    if weak.shape != strong.shape:
        raise ValueError(f"the logits of both views have shapes {list(weak.shape)} and {list(strong.shape)}")
    within = divergences(weak, of_weak, temperature) + divergences(strong, of_strong, temperature)
    cross = divergences(strong, of_weak, temperature) + divergences(weak, of_strong, temperature)
    within = within * _sure(of_weak, weak_threshold)
    cross = cross * _sure(of_strong, strong_threshold)
    return within_weight * within.mean() + cross_weight * cross.mean()


def _sure(teacher: Tensor, threshold: float) -> Tensor:
    """1 for each sample whose most probable class is at least this probable, otherwise 0: `[B]`."""
    return (F.softmax(teacher, dim=1).amax(dim=1) >= threshold).to(teacher.dtype)


class CRLD(nn.Module):
    """The distiller `crld`, with the loss term `crld`, on a weak and a strong view of each image."""

    def __init__(self, options: CRLDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(
            views=("weak", "strong"), target=options.correct is not None, unlabelled="given"
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss = crld_loss(
            *read_views(options, student, teacher, batch, "crld"),
            temperature=options.temperature,
            within_weight=options.within_weight,
            cross_weight=options.cross_weight,
            weak_threshold=options.weak_threshold,
            strong_threshold=options.strong_threshold,
        )
        return {"crld": options.weight * loss}
