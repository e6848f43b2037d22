"""KD: match the student's softened class probabilities to the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import KDOptions


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss T^2 * KL(softmax(t/T) || softmax(s/T)), the mean over the batch; 0 if both agree.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2. T^2 keeps the size
    of the gradient when the temperature changes.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


class KD(nn.Module):
    """The distiller `kd`, with the loss term `kd`."""

    def __init__(self, options: KDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "kd")
        loss = kd_loss(*logits, temperature=self.options.temperature)
        return {"kd": self.options.weight * loss}
