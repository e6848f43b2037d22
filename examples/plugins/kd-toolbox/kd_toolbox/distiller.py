"""`logit-cosine`: the logits of student and teacher point in the same direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore import Requires
from kdcore.ops import logits_of, prepare_logits
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from kdcore import Batch, ModelOutput, Progress, Setup

    from kd_toolbox.options import LogitCosineOptions


def cosine_loss(student: Tensor, teacher: Tensor, *, centre: bool = True) -> Tensor:
    """The mean over the batch of one minus the cosine between the logits `[B, K]`, from 0 to 2."""
    ours, theirs = prepare_logits(student, teacher)
    if centre:
        ours, theirs = ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    return (1 - F.cosine_similarity(ours, theirs, dim=1)).mean()


class LogitCosine(nn.Module):
    """The distiller."""

    requires = Requires()

    def __init__(self, options: LogitCosineOptions, setup: Setup) -> None:
        super().__init__()
        self.options = options

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The loss term, weighted."""
        loss = cosine_loss(*logits_of(student, teacher), centre=self.options.centre)
        return {"cosine": self.options.weight * loss}
