"""TTM: the temperature acts on the teacher only. WTTM: samples on which the teacher is unsure weigh more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import TTMOptions, WTTMOptions


def ttm_loss(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float) -> Tensor:
    """The loss KL(softmax(gamma * t) || softmax(s)), the mean over the batch; 0 if both distributions agree.

    softmax(gamma * t) is the teacher's distribution raised to the power gamma and normalised again; gamma is 1/T. The
    student has temperature 1, and there is no factor T^2.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Zheng and Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, and the authors'
    `distiller_zoo/ttm.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or gamma is not above 0.
    """
    check_positive("gamma", gamma)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    log_teacher = F.log_softmax(gamma * teacher, dim=1)
    return F.kl_div(F.log_softmax(student, dim=1), log_teacher, reduction="batchmean", log_target=True)


def wttm_loss(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float) -> Tensor:
    """TTM's loss of each sample times sum(p_t^gamma), p_t = softmax(t), the mean over the batch.

    The factor is between 1, for a teacher that is certain, and K^(1 - gamma), for one that is undecided, if gamma is
    below 1.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Zheng and Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, and the authors'
    `distiller_zoo/wttm.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or gamma is not above 0.
    """
    check_positive("gamma", gamma)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    powers = gamma * F.log_softmax(teacher, dim=1)
    log_total = powers.logsumexp(dim=1)
    log_teacher = powers - log_total.unsqueeze(1)
    log_student = F.log_softmax(student, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
    return (log_total.exp() * divergence).mean()


class TTM(nn.Module):
    """The distiller `ttm`, with the loss term `ttm`."""

    def __init__(self, options: TTMOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "ttm")
        return {"ttm": self.options.weight * ttm_loss(*logits, gamma=self.options.gamma)}


class WTTM(nn.Module):
    """The distiller `wttm`, with the loss term `wttm`."""

    def __init__(self, options: WTTMOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        logits = read_logits(self.options, student, teacher, batch, "wttm")
        return {"wttm": self.options.weight * wttm_loss(*logits, gamma=self.options.gamma)}
