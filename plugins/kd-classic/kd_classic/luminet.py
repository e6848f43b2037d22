"""LumiNet: KD between logits that are standardised class by class over the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import LumiNetOptions

_EPS = 1e-5  # from the authors' code, added to the variance


def luminet_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss KL(softmax(t'/T) || softmax(s'/T)), the mean over the batch; 0 if both agree.

    s' and t' are the logits less their mean over the batch, class by class, divided by sqrt(variance + 1e-5) with the
    biased variance. There is no factor T^2. In a batch of one sample all s' and t' are 0, so the loss and its gradient
    are 0.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Hossain et al., "LumiNet: The Bright Side of Perceptual Knowledge Distillation", 2023, and the authors'
    `mdistiller/distillers/LumiNet.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    log_student = F.log_softmax(_perceived(student) / temperature, dim=1)
    log_teacher = F.log_softmax(_perceived(teacher) / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def _perceived(logits: Tensor) -> Tensor:
    """The logits `[B, K]`, standardised for each class over the batch."""
    variance, mean = torch.var_mean(logits, dim=0, correction=0)
    return (logits - mean) * torch.rsqrt(variance + _EPS)


class LumiNet(nn.Module):
    """The distiller `luminet`, with the loss term `luminet`."""

    def __init__(self, options: LumiNetOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given", whole_batch=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "luminet")
        return {"luminet": self.options.weight * luminet_loss(*logits, temperature=self.options.temperature)}
