"""CTKD: a temperature that is learned against the student, so that the task becomes harder during the run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kd_classic.logits import divergences
from kd_classic.read import read_logits
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.softened import CTKDOptions


def ctkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    raw_temperature: Tensor,
    *,
    reversal: float,
    minimum: float,
    span: float,
) -> Tensor:
    """The loss T^2 * KL(softmax(t/T) || softmax(s/T)) with T = minimum + span * sigmoid(raw_temperature).

    The gradient that reaches `raw_temperature` is the true one times -reversal: what minimises the loss for the
    student maximises it for the temperature. The temperature acts on both models and in T^2.

    Both logits are `[B, K]`; `raw_temperature` is `[1]` and is used in the precision of the loss. The gradient goes to
    the student and to `raw_temperature`. The result is float32 if the logits have a narrower type, otherwise it has the
    type of the student's logits.

    Source: Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023, equations 4 to 8, and the
    authors' `models/temp_global.py` (the global temperature).

    Raises:
        ValueError: shapes or types do not fit, or the temperature can be 0 or less.
    """
    if not (minimum >= 0 and span >= 0 and minimum + span > 0):
        raise ValueError(
            f"minimum is {minimum} and span is {span}; both must be 0 or more, and their sum above 0"
        )
    if raw_temperature.numel() != 1:
        raise ValueError(f"raw_temperature has shape {list(raw_temperature.shape)}; it must be [1]")
    student, teacher = prepare_logits(student_logits, teacher_logits)
    raw = raw_temperature.reshape(()).to(student.dtype)
    # its value is that of raw, bit for bit, and its gradient is -reversal
    reversed_raw = raw.detach() - reversal * (raw - raw.detach())
    temperature = minimum + span * torch.sigmoid(reversed_raw)
    return divergences(student, teacher, temperature).mean()


def ctkd_reversal(*, epoch: float, ramp_epochs: int) -> float:
    """The strength of the reversed gradient, (1 - cos(pi * min(epoch, n) / n)) / 2: from 0 to 1 in n epochs.

    Epochs are counted from 1, as in the authors' code. With `ramp_epochs` 0 it is always 1.

    Raises:
        ValueError: `ramp_epochs` is negative.
    """
    if ramp_epochs < 0:
        raise ValueError(f"ramp_epochs is {ramp_epochs}; it must be 0 or more")
    if ramp_epochs == 0:
        return 1.0
    return (1 - math.cos(math.pi * min(max(epoch, 0), ramp_epochs) / ramp_epochs)) / 2


class CTKD(nn.Module):
    """The distiller `ctkd`, with the loss term `ctkd`; its one parameter is the raw temperature."""

    def __init__(self, options: CTKDOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(target=options.correct is not None, unlabelled="given")
        self.raw_temperature = nn.Parameter(torch.ones(1))

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        options = self.options
        epoch = math.floor(progress.epoch) + 1
        loss = ctkd_loss(
            *read_logits(options, student, teacher, batch, "ctkd"),
            self.raw_temperature,
            reversal=ctkd_reversal(epoch=epoch, ramp_epochs=options.ramp_epochs),
            minimum=options.minimum,
            span=options.span,
        )
        return {"ctkd": options.weight * loss}
