"""EA-KD: samples on which teacher and student are uncertain weigh more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.logits import divergences
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import check_positive, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import EAKDOptions


def ea_kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float,
    entropy_temperature: float,
    entropy_bound: float,
) -> Tensor:
    """The loss w * T^2 * KL(softmax(t/T) || softmax(s/T)), the mean over the batch; 0 if both agree.

    The weight of a sample is w = H_t * (1 + H_s / bound) / 2, with the entropies (in nats) of both models at
    `entropy_temperature`. No gradient flows through it. With the bound ln K, the second factor is at most 1.

    Both logits are `[B, K]`. The gradient goes to the student only. The result is float32 if the logits have a
    narrower type, otherwise it has the type of the student's logits.

    Source: Su et al., "EA-KD: Entropy-based Adaptive Knowledge Distillation", ICCV 2025, and the authors'
    `mdistiller/distillers/KD.py`.

    Raises:
        ValueError: the logits' shapes or types do not fit, or a temperature or the bound is not above 0.
    """
    for name, value in (
        ("temperature", temperature),
        ("entropy_temperature", entropy_temperature),
        ("entropy_bound", entropy_bound),
    ):
        check_positive(name, value)
    student, teacher = prepare_logits(student_logits, teacher_logits)
    with torch.no_grad():
        of_student = _entropy(student / entropy_temperature)
        of_teacher = _entropy(teacher / entropy_temperature)
        weight = of_teacher * (1 + of_student / entropy_bound) / 2
    return (weight * divergences(student, teacher, temperature)).mean()


def _entropy(logits: Tensor) -> Tensor:
    """The entropy `[B]` of softmax(logits), in nats."""
    log_probabilities = F.log_softmax(logits, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)


class EAKD(nn.Module):
    """The distiller `eakd`, with the loss term `eakd`."""

    def __init__(self, options: EAKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")
        given = options.entropy_bound
        self.bound = math.log(setup.num_classes) if given is None else given

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss = ea_kd_loss(
            *read_logits(options, student, teacher, batch, "eakd"),
            temperature=options.temperature,
            entropy_temperature=options.entropy_temperature,
            entropy_bound=self.bound,
        )
        return {"eakd": options.weight * loss}
