"""TeKAP: the teacher and several noisy copies of it, which stand for teachers that one does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import TeKAPOptions


def tekap_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    noise: Tensor,
    *,
    temperature: float,
    noise_weight: float,
    augmented_weight: float,
) -> Tensor:
    """The loss T^2 * (KL(t) + augmented_weight * the sum over m of KL(t_m)), the mean over the batch.

    KL(x) is KL(softmax(x/T) || softmax(s/T)), and t_m = noise_weight * noise_m + (1 - noise_weight) * t are the logits
    of an augmented teacher.

    Both logits are `[B, K]`; the noise is `[M, B, K]`, one standard normal number for each logit of each of M augmented
    teachers. The gradient goes to the student only. The result is float32 if the logits have a narrower type, otherwise
    it has the type of the student's logits.

    Source: Hossain et al., "Single Teacher, Multiple Perspectives: Teacher Knowledge Augmentation for Enhanced
    Knowledge Distillation", ICLR 2025, and the authors' `distiller_zoo/Ours_TeKAP_L.py`.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    check_positive("temperature", temperature)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    if not noise.is_floating_point() or noise.dim() != 3 or noise.shape[1:] != student.shape:
        raise ValueError(
            f"noise is {noise.dtype} of shape {list(noise.shape)}; it must be floating point [M, B, K] "
            f"for logits of shape {list(student.shape)}"
        )
    log_student = F.log_softmax(student / temperature, dim=1)
    with torch.no_grad():
        log_teacher = F.log_softmax(teacher / temperature, dim=1)
        value = _divergence(log_student, log_teacher)
        total = log_teacher.exp_()
        for one in noise:
            log_noisy = torch.lerp(teacher, one.to(teacher.dtype), noise_weight).div_(temperature)
            log_noisy = F.log_softmax(log_noisy, dim=1)
            value += augmented_weight * _divergence(log_student, log_noisy)
            total.add_(log_noisy.exp_(), alpha=augmented_weight)
    # The gradient is that of one cross-entropy against the sum of all distributions. The value comes from the single
    # divergences, which lose no precision where both models nearly agree.
    cross_entropy = -(total * log_student).sum() / len(student)
    return (value + (cross_entropy - cross_entropy.detach())) * temperature**2


def _divergence(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


class TeKAP(nn.Module):
    """The distiller `tekap`, with the loss term `tekap`; each step draws its own noise."""

    def __init__(self, options: TeKAPOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        student_logits, teacher_logits = read_logits(options, student, teacher, batch, "tekap")
        noise = torch.randn(options.teachers, *teacher_logits.shape, device=teacher_logits.device)
        loss = tekap_loss(
            student_logits,
            teacher_logits,
            noise,
            temperature=options.temperature,
            noise_weight=options.noise_weight,
            augmented_weight=options.augmented_weight,
        )
        return {"tekap": options.weight * loss}
