"""MLD: each label is a question of its own, and the student matches the teacher's probability of yes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, logits_of, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import MLDOptions


def mld_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """T^2 times the sum over labels of KL(q || p), q = (sigmoid(t/T), 1 - sigmoid(t/T)), p the same of the student.

    Both logits are `[B, K]`. The result is the mean over the batch; 0 if both agree. The gradient goes to the student
    only. The result is float32 if the logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Yang et al., "Multi-Label Knowledge Distillation", ICCV 2023, equation 3, and the loss `MLD` in the authors'
    code, which has no temperature (1) and limits probabilities to 1e-8 from 0 and 1; here they are kept as logarithms.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    if temperature != 1:  # the authors' temperature needs no copies
        student, teacher = student / temperature, teacher / temperature
    yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    no = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return (yes + no).sum(dim=1).mean() * temperature**2


class MLD(nn.Module):
    """The distiller `mld`, with the loss term `mld`: the loss divided by the number of labels."""

    requires = Requires(unlabelled="given", tasks=("classes", "labels"))

    def __init__(self, options: MLDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        student_logits, teacher_logits = logits_of(student, teacher)
        loss = mld_loss(student_logits, teacher_logits, temperature=self.options.temperature)
        return {"mld": self.options.weight * loss / student_logits.shape[1]}
