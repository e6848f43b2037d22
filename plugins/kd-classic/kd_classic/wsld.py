"""WSLD: soft labels weigh less on samples that the student already solves as well as the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, class_index, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.decoupled import WSLDOptions

_EPS = 1e-7  # from the authors' code, added to the teacher's cross-entropy


def wsld_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """The loss T^2 * w * cross-entropy(softmax(t/T), softmax(s/T)), the mean over the batch.

    The weight of a sample is w = 1 - exp(-CE(s, y) / CE(t, y)): 0 for a student without any error, near 1 for one that
    is much worse than the teacher. No gradient flows through it. As in the authors' code, the divergence is a
    cross-entropy, so the loss is not 0 if both agree; its gradient is that of w * T^2 * KL.

    Both logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class is
    used. The gradient goes to the student only. The result is float32 if the logits have a narrower type, otherwise it
    has the type of the student's logits.

    Source: Zhou et al., "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff Perspective",
    ICLR 2021, equation 9, and the authors' `knowledge_distiller.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    index = class_index(target, student)
    with torch.no_grad():
        of_student = -at_class(F.log_softmax(student, dim=1), index)
        of_teacher = -at_class(F.log_softmax(teacher, dim=1), index)
        weight = -torch.expm1(-of_student / (of_teacher + _EPS))
    log_student = F.log_softmax(student / temperature, dim=1)
    cross_entropy = -(F.softmax(teacher / temperature, dim=1) * log_student).sum(dim=1)
    return (weight * cross_entropy).mean() * temperature**2


class WSLD(nn.Module):
    """The distiller `wsld`, with the loss term `wsld`."""

    def __init__(self, options: WSLDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "wsld")
        target = target_of(batch, "wsld")
        return {
            "wsld": self.options.weight * wsld_loss(*logits, target, temperature=self.options.temperature)
        }
