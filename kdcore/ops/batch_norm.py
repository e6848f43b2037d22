"""Batch norm over the whole batch of a run with several processes, on any device."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.ops.processes import sum_over_processes, world_size


class BatchNormOverProcesses(_BatchNorm):
    """Batch norm whose training statistics are those of the batch over all processes: `[B, C, ...]` to the same shape.

    torch's `SyncBatchNorm` does the same, but only on GPUs. The state has the same names. The variance is computed
    around the mean of the whole batch, in float32 at least. In one process and in evaluation it is torch's batch norm.

    Raises:
        ValueError: the input has no channels `[B, C, ...]`; in one process: it has one value per channel.
    """

    # not a subclass of SyncBatchNorm: DistributedDataParallel refuses those without a GPU

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected [B, C, ...], got {input.dim()} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` -> `[B, C, ...]`."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        return cast("Tensor", self._over_processes(input))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _over_processes(self, input: Tensor) -> Tensor:
        others = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_full((1,), input.numel() // input.shape[1])
        sums = sum_over_processes(torch.cat([values.sum(dim=others), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = sum_over_processes(centred.square().sum(dim=others)) / total
        self._track(mean.detach(), (variance * total / (total - 1)).detach())
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        normalised = centred * scale.view(shape)
        if self.bias is not None:
            normalised = normalised + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        seen = cast("Tensor", self.num_batches_tracked)
        seen.add_(1)
        factor = 1 / int(seen) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(variance.to(self.running_var.dtype), factor)
