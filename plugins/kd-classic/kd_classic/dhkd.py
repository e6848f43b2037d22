"""DHKD: a second head learns from the teacher by binary terms, so that the classifier learns from labels only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import (
    BatchNormOverProcesses,
    at_least_float32,
    check_positive,
    full_precision,
    prepare_logits,
)

if TYPE_CHECKING:
    from kd_classic.options.softened import DHKDOptions


def dhkd_loss(auxiliary_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss T^2 * sum over classes of KL(1/2 || d), d = sigmoid((h - t)/T), the mean over the batch.

    KL(1/2 || d) is -ln 2 - ln(d)/2 - ln(1 - d)/2: it is 0 if the logit h of the second head equals the teacher's t.
    Unlike KD, a constant that is added to all logits of a sample changes it.

    Both logits are `[B, K]`. The gradient goes to the second head only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the second head's logits.

    Source: Yang et al., "Dual-Head Knowledge Distillation", 2024, the BinaryKL-Norm loss of its authors' code.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    auxiliary, teacher = prepare_logits(auxiliary_logits, teacher_logits)
    difference = (auxiliary - teacher) / temperature
    halves = F.logsigmoid(difference) + F.logsigmoid(-difference)
    return (-math.log(2) - halves / 2).sum(1).mean() * temperature**2


class DHKD(nn.Module):
    """The distiller `dhkd`, with the loss term `dhkd`: a second head on the student's embedding, not shipped with it.

    The authors' gradient alignment on CIFAR-100 belongs to the optimizer: `optimizer.align_gradients` in a spec.

    Raises:
        ValueError: the student has no embedding.
    """

    def __init__(self, options: DHKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        width, classes = setup.student.embedding_dim, setup.num_classes
        self.head: nn.Module = nn.Linear(width, classes)
        if options.head == "mlp":
            self.head = nn.Sequential(
                nn.Linear(width, options.hidden),
                nn.Dropout(options.dropout),
                BatchNormOverProcesses(options.hidden),
                nn.ReLU(),
                nn.Linear(options.hidden, classes),
            )
        self.requires = Requires(
            student_embedding=True, target=options.correct is not None, unlabelled="given"
        )

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        if student.embedding is None:
            raise ValueError("dhkd needs the student's embedding")
        _, teacher_logits = read_logits(self.options, student, teacher, batch, "dhkd")
        with full_precision(student.embedding.device):
            auxiliary = self.head(at_least_float32(student.embedding))
        loss = dhkd_loss(auxiliary, teacher_logits, temperature=self.options.temperature)
        return {"dhkd": self.options.weight * loss}
