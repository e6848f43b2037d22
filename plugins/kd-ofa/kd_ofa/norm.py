"""Batch norm over the whole batch, also for one value per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from kdcore.ops import BatchNormOverProcesses, world_size

if TYPE_CHECKING:
    from torch import Tensor


class WholeBatchNorm2d(BatchNormOverProcesses):
    """Batch norm whose training statistics are those of the batch over all processes.

    So a run with several processes trains like one. In one process this is torch's batch norm, except for a single
    value per channel (one image on a 1x1 grid). There torch raises, because the value minus its mean is always 0. Here
    the running statistics normalise it, as in evaluation, and do not change. Otherwise the last batch of an epoch could
    end a run.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        if self.training and world_size() == 1 and input.numel() == input.shape[1]:
            return F.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(input)
