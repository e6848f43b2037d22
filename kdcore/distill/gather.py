"""Whole batches over processes: what each process has, put together with gradient.

A loss over the gathered batch is the same on every process. Each process's gradient flows into its own part;
summed over processes by the backward of the gather and averaged by DDP, it is the gradient of that one loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from kdcore.protocols import Batch, FeatureMap, ModelOutput


def world_size() -> int:
    """Processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _gathered(part: Tensor) -> Tensor:
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.rows = part.shape[0]
        return _gathered(part)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # a copy, always: autograd may give the same tensor to others, and the sum is taken in place
        whole = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        start = dist.get_rank() * ctx.rows
        return whole[start : start + ctx.rows]


def gather(part: Tensor) -> Tensor:
    """`[B / world, ...]` of this process -> `[B, ...]` in the order of the processes, with gradient."""
    if part.numel() == 0:  # logits that nobody asked for: there is nothing to send
        return part.new_empty(len(part) * world_size(), *part.shape[1:])
    if part.requires_grad:
        gathered: Tensor = _Gather.apply(part)
        return gathered
    return _gathered(part)


def gather_output(output: ModelOutput) -> ModelOutput:
    """A model's output for the whole batch."""
    return ModelOutput(
        gather(output.logits),
        {
            stage: FeatureMap(gather(one.map), None if one.prefix is None else gather(one.prefix))
            for stage, one in output.features.items()
        },
        None if output.embedding is None else gather(output.embedding),
        tuple(gather_output(view) for view in output.views),
    )


def gather_batch(batch: Batch) -> Batch:
    """The whole batch; images are not gathered, since no loss over samples reads them."""
    return Batch(
        batch.images,
        None if batch.target is None else gather(batch.target),
        None if batch.index is None else gather(batch.index),
    )
