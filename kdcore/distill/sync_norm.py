"""Replace the batch norms of a model by norms over the whole batch of all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, SyncBatchNormAct, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore import compat
from kdcore.ops import BatchNormOverProcesses, world_size

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORWARDS = (_BatchNorm.forward, BatchNormAct2d.forward)


class BatchNormActOverProcesses(BatchNormOverProcesses):
    """The same for timm's batch norm, which includes dropout and activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` -> `[B, C, ...]`."""
        normalised: Tensor = self.act(self.drop(super().forward(input)))
        return normalised


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with each batch norm changed to one over all processes; the state keeps its names.

    A subclass with its own `forward` stays as it is. A norm is replaced by a new module, which gets its
    hooks; set a hook that holds a module itself afterwards.
    """
    for name, child in list(module.named_children()):
        setattr(module, name, synchronised(child, device))
    if not isinstance(module, _BatchNorm) or type(module).forward not in _FORWARDS:
        return module
    converted: nn.Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    for name in compat.FORWARD_HOOKS:  # of a transform: the new module has the children that they call
        getattr(converted, name).update(getattr(module, name))
    if device.type != "cuda":
        of_timm = isinstance(converted, SyncBatchNormAct)
        converted.__class__ = BatchNormActOverProcesses if of_timm else BatchNormOverProcesses
    return converted


def share_running_statistics(modules: Iterable[nn.Module]) -> None:
    """Copy the main process's buffers to all processes, because each has the statistics of its own batches."""
    if world_size() == 1:
        return
    for module in modules:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)
