"""Tf-KD (reg): a virtual teacher that is right with a fixed probability and knows nothing of the other classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import at_class
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, class_index, prepare_logits, target_of

if TYPE_CHECKING:
    from kd_classic.options.teacher_free import TfKDOptions


def tfkd_reg_loss(
    student_logits: Tensor, target: Tensor, *, temperature: float, correct_probability: float
) -> Tensor:
    """The loss KL(softmax(u/T) || softmax(s)) / K, the mean over samples and classes; 0 if both agree.

    u is `correct_probability` c for the target class and (1 - c)/(K - 1) for each other class. As in the authors' code,
    u itself is divided by T, and not its logarithm. So for T = 20 the virtual teacher is almost uniform, and the loss
    is close to label smoothing: with 100 classes it gives the target 1.05 % and the others 1.00 %. The division by K is
    the authors' too: torch's default mean of `KLDivLoss`.

    The logits are `[B, K]`. The target is class indices `[B]`, or probabilities `[B, K]`, whose most probable class is
    used. The result is float32 if the logits have a narrower type, otherwise it has the type of the logits.

    Source: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020, equation 11,
    and the authors' `my_loss_function.py`.

    Raises:
        ValueError: shapes or types do not fit, the temperature is not above 0, or the probability is not between 0 and
            1.
    """
    _check_probability(correct_probability)
    check_positive("temperature", temperature)
    student, _ = prepare_logits(student_logits, student_logits)
    right, wrong = correct_probability, (1 - correct_probability) / (student.shape[1] - 1)
    return _against(student, target, (right - wrong) / temperature) / student.shape[1]


def softened_reg_loss(
    student_logits: Tensor, target: Tensor, *, temperature: float, correct_probability: float
) -> Tensor:
    """What the paper describes: KL(softmax(log(u)/T) || softmax(s)), the mean over the batch.

    The arguments are those of `tfkd_reg_loss`.
    """
    _check_probability(correct_probability)
    check_positive("temperature", temperature)
    student, _ = prepare_logits(student_logits, student_logits)
    right, wrong = correct_probability, (1 - correct_probability) / (student.shape[1] - 1)
    return _against(student, target, math.log(right / wrong) / temperature)


def _against(student: Tensor, target: Tensor, lead: float) -> Tensor:
    """The mean of KL(v || softmax(s)), where v is the softmax of `lead` for the target and of 0 for the others."""
    classes = student.shape[1]
    # log(1 + (K - 1) * exp(-lead)): the logarithm of 1 / v_y
    spread = math.log1p((classes - 1) * math.exp(-lead))
    right, wrong = math.exp(-spread), math.exp(-lead - spread)
    entropy = right * spread + (classes - 1) * wrong * (lead + spread)
    log_student = F.log_softmax(student, dim=1)
    own = at_class(log_student, class_index(target, student))
    # every class counts `wrong`, the target the rest of its probability in addition
    return -(wrong * log_student.sum(dim=1) + (right - wrong) * own).mean() - entropy


def _check_probability(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"correct_probability is {value}; it must be between 0 and 1")


class TfKD(nn.Module):
    """The distiller `tfkd`, with the loss term `tfkd`; it needs no teacher."""

    def __init__(self, options: TfKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(teacher=False, target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted.

        Raises:
            ValueError: the student gives no logits.
        """
        options = self.options
        if student.logits is None:
            raise ValueError("tfkd reads the student's logits, and the student gives none")
        loss = (tfkd_reg_loss if options.version == "released" else softened_reg_loss)(
            student.logits,
            target_of(batch, "tfkd"),
            temperature=options.temperature,
            correct_probability=options.correct_probability,
        )
        return {"tfkd": options.weight * loss}
