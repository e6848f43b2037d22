"""DeiT: the distillation token of a transformer learns from the teacher, and the class token from the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.kd import kd_loss
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.tokens import DeiTHardOptions, DeiTSoftOptions


def deit_soft_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The loss T^2 * KL(softmax(t/T) || softmax(d/T)) / K on the logits d of the distillation token.

    As in the authors' code it is the mean over all B * K elements: K times smaller than `kd_loss`, which is timm's.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Touvron et al., "Training data-efficient image transformers & distillation through attention", ICML 2021,
    equation 2, and the authors' `losses.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    log_student, log_teacher = (F.log_softmax(one / temperature, dim=1) for one in (student, teacher))
    apart = F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return apart * (temperature**2 / student.numel())


def deit_hard_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The cross-entropy of the distillation token's logits against the teacher's most probable class.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is the mean over the batch, float32 if
    the logits have a narrower type, otherwise of the type of the student's logits.

    Source: Touvron et al., "Training data-efficient image transformers & distillation through attention", ICML 2021,
    equation 3, and the authors' `losses.py`.

    Raises:
        ValueError: shapes or types do not fit.
    """
    student, teacher = prepare_logits(student_logits, teacher_logits)
    return F.cross_entropy(student, teacher.argmax(dim=1))


class DeiTSoft(nn.Module):
    """The distiller `deit-soft`, with the loss term `deit`, for students with a distillation token."""

    def __init__(self, options: DeiTSoftOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(distillation_logits=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss_of = deit_soft_loss if options.reduction == "elements" else kd_loss
        loss = loss_of(*_logits_of(student, teacher), temperature=options.temperature)
        return {"deit": options.weight * loss}


class DeiTHard(nn.Module):
    """The distiller `deit-hard`, with the loss term `deit`, for students with a distillation token."""

    def __init__(self, options: DeiTHardOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(distillation_logits=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        return {"deit": self.options.weight * deit_hard_loss(*_logits_of(student, teacher))}


def _logits_of(student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
    """The logits of the student's second classifier, and those of the teacher."""
    if student.distillation_logits is None or teacher.logits is None:
        raise ValueError("the logits of the student's distillation token and of the teacher are needed")
    return student.distillation_logits, teacher.logits
