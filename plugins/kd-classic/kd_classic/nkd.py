"""NKD: the target class, weighted by the teacher's score, and the other classes among themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class, without_class
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, class_index, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.decoupled import NKDOptions


def nkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, gamma: float, temperature: float
) -> Tensor:
    """The loss target term + gamma * non-target term, the mean over the batch.

    With the target class y, the target term is -softmax(t)_y * log softmax(s)_y, at temperature 1 for any
    `temperature`. The non-target term is T^2 times the cross-entropy of the other classes, renormalised among
    themselves at temperature T. Both are cross-entropies, so they are not 0 if student and teacher agree: the
    target term falls towards 0 as the student's p_y goes to 1. The non-target term is smallest if the student's
    other classes have the same distribution as the teacher's; then it is T^2 times the teacher's entropy. With
    two classes it is 0.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable
    class is used, as in the authors' code. The gradient goes to the student only. The result is float32 if the
    logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation", ICCV 2023, and
    the authors' `mmcls/models/dis_losses/nkd.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    target_term, non_target_term = nkd_terms(student_logits, teacher_logits, target, temperature=temperature)
    return target_term + gamma * non_target_term


def nkd_terms(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """The target and the non-target term, unweighted; see `nkd_loss`."""
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    index = class_index(target, student)
    score = at_class(F.softmax(teacher, dim=1), index)
    target_term = -(score * at_class(F.log_softmax(student, dim=1), index)).mean()
    teacher_others = F.softmax(without_class(teacher, index) / temperature, dim=1)
    student_others = F.log_softmax(without_class(student, index) / temperature, dim=1)
    non_target_term = -(teacher_others * student_others).sum(dim=1).mean()
    return target_term, non_target_term * temperature**2


class NKD(nn.Module):
    """The distiller `nkd`, with the loss terms `target` and `non_target`."""

    def __init__(self, options: NKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        options = self.options
        target_term, non_target_term = nkd_terms(
            *read_logits(options, student, teacher, batch, "nkd"),
            target_of(batch, "nkd"),
            temperature=options.temperature,
        )
        return {
            "target": options.weight * target_term,
            "non_target": options.weight * options.gamma * non_target_term,
        }
