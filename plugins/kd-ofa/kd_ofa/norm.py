"""Batch norm over the whole batch, also if several processes share it or if it has one value per channel."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


class WholeBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of the batch over all processes.

    So a run with several processes trains like one. torch's `SyncBatchNorm` does the same, but only on GPUs. In
    one process this is torch's batch norm, except for a single value per channel (one image on a 1x1 grid).
    There torch raises, because the value minus its mean is always 0. Here the running statistics normalise it,
    as in evaluation, and do not change. Otherwise the last batch of an epoch could end a run.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        if self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return self._over_processes(input)
        if self.training and input.numel() == input.shape[1]:
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

    def _over_processes(self, input: Tensor) -> Tensor:
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_full((1,), input.numel() // input.shape[1])
        sums: Tensor = _sum_over_processes(torch.cat([values.sum(dim=(0, 2, 3)), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        centred = values - mean[:, None, None]
        variance = _sum_over_processes(centred.square().sum(dim=(0, 2, 3))) / total
        self._track(mean.detach(), (variance * total / (total - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        momentum = cast("float", self.momentum)
        cast("Tensor", self.running_mean).lerp_(mean, momentum)
        cast("Tensor", self.running_var).lerp_(variance, momentum)
        cast("Tensor", self.num_batches_tracked).add_(1)


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # every process's loss depends on this part
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


def _sum_over_processes(part: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(part)
    return total
