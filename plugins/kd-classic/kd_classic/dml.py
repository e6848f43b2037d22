"""DML: two networks that learn together, each from the labels and from the other's predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kd_classic.logits import divergences
from kdcore import Batch, ModelOutput, Progress, Requires, Setup
from kdcore.ops import logits_of, prepare_logits

if TYPE_CHECKING:
    from kd_classic.options.networks import DMLOptions


def dml_loss(student_logits: Tensor, peer_logits: Tensor) -> Tensor:
    """The loss KL(softmax(peer) || softmax(own)), the mean over the batch; there is no temperature.

    The authors' code adds 1e-8 inside the logarithms, which changes the loss where probabilities are smaller than that;
    here it is computed in log space.

    Both logits are `[B, K]`. The gradient goes to the student only: the peer has its own loss, with the roles
    exchanged. The result is float32 if the logits have a narrower type, otherwise it has the type of the student's.

    Source: Zhang et al., "Deep Mutual Learning", CVPR 2018, equation 5.

    Raises:
        ValueError: the logits' shapes or types do not fit.
    """
    return divergences(*prepare_logits(student_logits, peer_logits), 1.0).mean()


class DML(nn.Module):
    """The distiller `dml`: its terms `student` and `teacher` are the losses of the two networks."""

    def __init__(self, options: DMLOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires(teacher_learns=True)

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Return both loss terms, weighted."""
        ours, theirs = logits_of(student, teacher)
        weight = self.options.weight
        return {"student": weight * dml_loss(ours, theirs), "teacher": weight * dml_loss(theirs, ours)}
