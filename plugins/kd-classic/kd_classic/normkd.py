"""NormKD: each sample has its own temperature, the standard deviation of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import NormKDOptions


def normkd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss T_t^2 * KL(softmax(t/T_t) || softmax(s/T_s)), the mean over the batch; 0 if both agree.

    The temperatures are those of each sample: `temperature` times the standard deviation (unbiased) of its logits over
    the classes, of the student for T_s and of the teacher for T_t. The gradient flows through T_s. A sample whose
    student logits are all equal has the uniform distribution and gets no gradient; one whose teacher logits are all
    equal adds 0.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Chi et al., "NormKD: Normalized Logits for Knowledge Distillation", 2023, and the authors' code.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    scores, of_teacher = _normalised(teacher, temperature)
    probabilities = scores.exp()
    own = (probabilities * scores).sum(dim=1)
    del scores  # before the student needs memory
    log_student, _ = _normalised(student, temperature)
    divergence = own - (probabilities * log_student).sum(dim=1)
    return (divergence * of_teacher.square()).mean()


def _normalised(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities `[B, K]` at each sample's temperature, and these temperatures `[B]`."""
    own = temperature * logits.std(dim=1, keepdim=True)
    # equal logits have no deviation, although rounding may give them one; divided by infinity they get no gradient
    equal = logits.detach().amax(dim=1, keepdim=True) == logits.detach().amin(dim=1, keepdim=True)
    scores = logits / own.masked_fill(equal, torch.inf)
    return F.log_softmax(scores, dim=1), own.masked_fill(equal, 0.0).squeeze(1)


class NormKD(nn.Module):
    """The distiller `normkd`, with the loss term `normkd`."""

    def __init__(self, options: NormKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "normkd")
        return {"normkd": self.options.weight * normkd_loss(*logits, temperature=self.options.temperature)}
