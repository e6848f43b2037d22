"""A loss whose gradient is computed together with its value, so that nothing large is kept for the backward pass.

For losses over tables of similarities: a table of a batch and a queue, or of all tokens of an image, is much larger
than the features that it comes from. Computed part by part, only the gradient of the features stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdcore.ops import full_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Compute = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]

AT_ONCE = 1 << 22  # numbers in the part of a table that is computed at once


def with_gradient(features: Tensor, compute: Compute) -> Tensor:
    """The value of `compute`, whose gradient for `features` is the one that it returns.

    Args:
        features: what the gradient goes to.
        compute: `(features, needed) -> (loss, gradient)`; the gradient has the shape of the features, and may be None
            if it is not needed.
    """
    loss: Tensor = _WithGradient.apply(features, compute)
    return loss


def parts(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows whose part of a table `[rows, columns]` has about `AT_ONCE` numbers."""
    at_once = max(AT_ONCE // max(columns, 1), 1)
    for start in range(0, rows, at_once):
        yield slice(start, start + at_once)


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, compute: Compute) -> Tensor:
        with full_precision(features.device):
            loss, gradient = compute(features, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        (gradient,) = ctx.saved_tensors
        return None if gradient is None else grad * gradient, None
