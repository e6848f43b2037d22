"""CS-KD: the student's prediction for an image follows its own for another image of the same class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_classic.logits import divergences
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.teacher_free import CSKDOptions


def cskd_loss(student_logits: Tensor, pair_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss T^2 * KL(softmax(x'/T) || softmax(x/T)) with the logits x' of another image of the same class.

    Both logits are `[B, K]`. The gradient goes to `student_logits` only. The result is the mean over the batch, float32
    if the logits have a narrower type, otherwise of the type of `student_logits`.

    Source: Yun et al., "Regularizing Class-Wise Predictions via Self-Knowledge Distillation", CVPR 2020, equation 2.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    return divergences(*prepare_logits(student_logits, pair_logits), temperature).mean()


class CSKD(nn.Module):
    """The distiller `cskd`, with the loss term `cskd`: the student sees another image of each sample's class, too."""

    def __init__(self, options: CSKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(teacher=False, partner="class", unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        partner = student.partner
        if partner is None or partner.logits is None or student.logits is None:
            raise ValueError("cskd needs the student's logits for each sample and for its partner")
        loss = cskd_loss(student.logits, partner.logits, temperature=self.options.temperature)
        return {"cskd": self.options.weight * loss}
