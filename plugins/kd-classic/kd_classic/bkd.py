"""Binary KD: each class is a question of its own, and the teacher's probability is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import BKDOptions


def bkd_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The binary cross-entropy of sigmoid(s) against softmax(t), the mean over samples and classes.

    It is a cross-entropy: smallest, but not 0, where the student's sigmoids equal the teacher's probabilities. A
    constant that is added to all logits of the student changes it.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: the `bkd` loss in the authors' code of Hao et al., "Revisit the Power of Vanilla Knowledge Distillation",
    NeurIPS 2023.

    Raises:
        ValueError: the logits' shapes or types do not fit.
    """
    student, teacher = prepare_logits(student_logits, teacher_logits)
    return F.binary_cross_entropy_with_logits(student, F.softmax(teacher, dim=1))


class BKD(nn.Module):
    """The distiller `bkd`, with the loss term `bkd`."""

    def __init__(self, options: BKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        return {
            "bkd": self.options.weight * bkd_loss(*read_logits(self.options, student, teacher, batch, "bkd"))
        }
