"""CA-MKD: several teachers, each weighted by how well it predicts the sample's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.several_teachers import divergences_of_each, logits_of_all, prepare_several, require_several
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import class_index, target_of

if TYPE_CHECKING:
    from kd_classic.options.networks import CAMKDOptions


def camkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, target: Tensor, *, temperature: float
) -> Tensor:
    """The mean over teachers and samples of w_m * D_m, w = (1 - softmax over teachers of CE(t_m, y)) / (M - 1).

    D is T^2 * KL(softmax(t/T) || softmax(s/T)). The weights of a sample have the sum 1, and the mean over the teachers,
    as in the authors' code, divides by M once more.

    The student's logits are `[B, K]`, those of the teachers `[M, B, K]`. The target is class indices `[B]`, or
    probabilities `[B, K]`, whose most probable class is used. The gradient goes to the student only. The result is
    float32 if the logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Zhang et al., "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022, equations 3 and 4, and
    the authors' `helper/loops.py`.

    Raises:
        ValueError: shapes or types do not fit, the temperature is not above 0, or there is one teacher only.
    """
    student, teachers = prepare_several(student_logits, teacher_logits, at_least=2)
    index = class_index(target, student)
    count = len(teachers)
    wrong = torch.stack([F.cross_entropy(one, index, reduction="none") for one in teachers])
    weights = (1 - F.softmax(wrong, dim=0)) / (count - 1)
    return (weights * divergences_of_each(student, teachers, temperature)).mean()


class CAMKD(nn.Module):
    """The distiller `camkd`, with the loss term `camkd`.

    Raises:
        ValueError: the run has one teacher only.
    """

    def __init__(self, options: CAMKDOptions, setup: Setup) -> None:
        super().__init__()
        require_several(setup, "camkd")
        self.options = options
        self.requires = Requires(several_teachers=True, target=True, unlabelled="skipped")

    def forward(
        self, student: ModelOutput, teacher: dict[str, ModelOutput], batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss = camkd_loss(
            *logits_of_all(student, teacher), target_of(batch, "camkd"), temperature=options.temperature
        )
        # the weights of a sample have the sum 1, and the loss is divided by the number of teachers
        factor = len(teacher) if options.normalize else 1
        return {"camkd": options.weight * factor * loss}
