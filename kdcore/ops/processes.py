"""Tensors of all processes of a run, joined or added up, with the gradient that the whole batch would have.

A loss that is computed from the result is the same on every process. In the backward pass, each process gets the
gradient of its own part, summed over the processes. DistributedDataParallel then takes the mean over the processes, so
the parameters get the gradient of that one loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of processes of this run; 1 if there is no process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(part: Tensor) -> Tensor:
    """Join the parts of all processes: `[B / processes, ...]` to `[B, ...]`, in the order of the processes.

    The part must have the same shape and type on every process. The result has a gradient if the part has one. In one
    process the result is the part itself.
    """
    if world_size() == 1:
        return part
    if part.numel() == 0:  # there is nothing to send
        return part.new_empty(len(part) * world_size(), *part.shape[1:])
    if part.requires_grad:
        gathered: Tensor = _Gather.apply(part)
        return gathered
    return _gathered(part)


def sum_over_processes(part: Tensor) -> Tensor:
    """Add up the values of all processes, element by element.

    The part must have the same shape and type on every process. The result has a gradient if the part has one. In one
    process the result is the part itself.
    """
    if world_size() == 1:
        return part
    total: Tensor = _Sum.apply(part)
    return total


def _gathered(part: Tensor) -> Tensor:
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def _summed(part: Tensor) -> Tensor:
    # always a copy: the sum is taken in place, and autograd may give the same tensor to other operations
    total = part.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.rows = part.shape[0]
        return _gathered(part)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        start = dist.get_rank() * ctx.rows
        return _summed(grads[0])[start : start + ctx.rows]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _summed(part)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _summed(grads[0])  # the loss of every process depends on this part
