"""What the declarations here name, and what works if it is asked for."""

from __future__ import annotations

from kdcore import Batch, DistillerOptions, ModelOutput, Progress, Requires, Setup
from kdcore.ops import logits_of
from torch import Tensor, nn


class Options(DistillerOptions):
    """No options but the weight."""


class Method(nn.Module):
    """The mean squared difference of the logits."""

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__()
        self.options = options
        self.requires = Requires()

    def forward(
        self, student: ModelOutput, teacher: ModelOutput, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The loss term, weighted."""
        ours, theirs = logits_of(student, teacher)
        loss = (ours - theirs.detach()).square().mean()
        return {"difference": self.options.weight * loss}
