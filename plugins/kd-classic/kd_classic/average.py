"""The mean of KD's losses over several teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_classic.several_teachers import divergences_of_each, logits_of_all, prepare_several
from kdcore import Batch, ModelOutput, Progress, Requires, Setup

if TYPE_CHECKING:
    from kd_classic.options.networks import AverageOptions


def average_kd_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """The mean over teachers and samples of T^2 * KL(softmax(t/T) || softmax(s/T)).

    The student's logits are `[B, K]`, those of the teachers `[M, B, K]`. The gradient goes to the student only. The
    result is float32 if the logits have a narrower type, otherwise it has the type of the student's logits.

    Source: You et al., "Learning from Multiple Teacher Networks", KDD 2017, as CA-MKD's authors compute this baseline.

    Raises:
        ValueError: shapes or types do not fit, or the temperature is not above 0.
    """
    student, teachers = prepare_several(student_logits, teacher_logits)
    return divergences_of_each(student, teachers, temperature).mean()


class Average(nn.Module):
    """The distiller `average`, with the loss term `average`: all teachers of the run count equally."""

    def __init__(self, options: AverageOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(several_teachers=True)

    def forward(
        self, student: ModelOutput, teacher: dict[str, ModelOutput], batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return the loss term, weighted."""
        loss = average_kd_loss(*logits_of_all(student, teacher), temperature=self.options.temperature)
        return {"average": self.options.weight * loss}
