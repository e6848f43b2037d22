"""EBKD: several teachers, each weighted by how certain it is of the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd_classic.several_teachers import divergences_of_each, logits_of_all, prepare_several, require_several
from kdcore import Batch, ModelOutput, Progress, Requires, Setup

if TYPE_CHECKING:
    from kd_classic.options.networks import EBKDOptions


def ebkd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The mean over teachers and samples of (1 - H_m / sum of H) * D_m, with H the entropy of a teacher's softmax.

    D is T^2 * KL(softmax(t/T) || softmax(s/T)); the entropies are those without temperature. The weights of M teachers
    have the sum M - 1, and the mean divides by M, so together they are (M - 1)/M.
    If all teachers are certain of a sample, all count equally.

    The student's logits are `[B, K]`, those of the teachers `[M, B, K]`. The gradient goes to the student only. The
    result is float32 if the logits have a narrower type, otherwise it has the type of the student's logits.

    Source: Kwon et al., "Adaptive Knowledge Distillation Based on Entropy", ICASSP 2020, as CA-MKD's authors compute
    this baseline (`helper/loops.py`).

    Raises:
        ValueError: shapes or types do not fit, the temperature is not above 0, or there is one teacher only.
    """
    student, teachers = prepare_several(student_logits, teacher_logits, at_least=2)
    # the smallest normal number only decides where all entropies are 0
    entropies = torch.stack([_entropy(one) for one in teachers]) + torch.finfo(student.dtype).tiny
    weights = 1 - entropies / entropies.sum(0)
    return (weights * divergences_of_each(student, teachers, temperature)).mean()


def _entropy(logits: Tensor) -> Tensor:
    """Of the softmax of each sample: `[B, K]` to `[B]`."""
    logs = F.log_softmax(logits, dim=1)
    return -(logs.exp() * logs).sum(1)


class EBKD(nn.Module):
    """The distiller `ebkd`, with the loss term `ebkd`.

    Raises:
        ValueError: the run has one teacher only.
    """

    def __init__(self, options: EBKDOptions, setup: Setup) -> None:
        super().__init__()
        require_several(setup, "ebkd")
        self.options = options
        self.requires = Requires(several_teachers=True)

    def forward(
        self, student: ModelOutput, teacher: dict[str, ModelOutput], batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        loss = ebkd_loss(*logits_of_all(student, teacher), temperature=options.temperature)
        # the weights of a sample have the sum M - 1, and the loss is divided by M
        factor = len(teacher) / (len(teacher) - 1) if options.normalize else 1
        return {"ebkd": options.weight * factor * loss}
