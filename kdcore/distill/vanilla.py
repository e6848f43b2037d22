"""The baseline: a student trained without a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdcore.protocols import Batch, ModelOutput, Progress, Requires, Setup

if TYPE_CHECKING:
    from kdcore.distill.vanilla_options import VanillaOptions


class Vanilla(nn.Module):
    """No loss terms: the task loss is all that the student learns from."""

    requires = Requires(teacher=False, tasks=("classes", "labels"))

    def __init__(self, options: VanillaOptions, setup: Setup) -> None:
        super().__init__()

    def forward(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """No terms."""
        return {}
