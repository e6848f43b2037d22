"""Batch norm over the whole batch: its statistics are those of all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, SyncBatchNormAct, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.distill.gather import world_size

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORWARDS = (_BatchNorm.forward, BatchNormAct2d.forward)


class AnywhereBatchNorm(_BatchNorm):
    """torch's `SyncBatchNorm` where there is no GPU: the same statistics, the same names in the state.

    The variance is taken around the mean of the whole batch, in float32, in two rounds of the processes. It is no
    subclass of `SyncBatchNorm`: DDP refuses those where there is no GPU.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected [B, C, ...], got {input.dim()} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` -> `[B, C, ...]`."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        return cast("Tensor", self.over_processes(input))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def over_processes(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of all processes' inputs; in one process, of its own."""
        others = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_full((1,), input.numel() // input.shape[1])
        sums = _sum_over_processes(torch.cat([values.sum(dim=others), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = _sum_over_processes(centred.square().sum(dim=others)) / total
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


class AnywhereBatchNormAct(AnywhereBatchNorm):
    """The same for timm's batch norm with dropout and activation in it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` -> `[B, C, ...]`."""
        normalised: Tensor = self.act(self.drop(super().forward(input)))
        return normalised


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with each batch norm changed to one over all processes; the state keeps its names.

    A subclass with a `forward` of its own stays as it is. To be called before hooks are set: what was a batch norm is
    another module afterwards.
    """
    for name, child in list(module.named_children()):
        setattr(module, name, synchronised(child, device))
    if not isinstance(module, _BatchNorm) or type(module).forward not in _FORWARDS:
        return module
    converted: nn.Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    if device.type != "cuda":
        of_timm = isinstance(converted, SyncBatchNormAct)
        converted.__class__ = AnywhereBatchNormAct if of_timm else AnywhereBatchNorm
    return converted


def share_running_statistics(modules: Iterable[nn.Module]) -> None:
    """Give the main process's buffers to all: without batch norm over processes each has tracked its own batches."""
    if world_size() == 1:
        return
    for module in modules:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)


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
