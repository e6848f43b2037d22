"""The grids of 8-bit integers on which a student trains: those of weights, and those of activations in their range."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from kdcore.ops import sum_over_processes, world_size

LOWEST: Final = -128
HIGHEST: Final = 127
"""The integers of activations go from the lowest to this one."""
LARGEST: Final = 127
"""The integers of weights go from the negative of this number to this number."""
_SMALLEST: Final = 1e-12  # a step between two integers: zero would give infinite values
_MOMENTUM: Final = 0.01


class WeightGrid(nn.Module):
    """A parametrization that rounds a weight `[O, ...]` to 255 steps per output channel; gradients pass unchanged.

    The grid of a channel reaches to its largest weight. It is symmetric, so multiplying a channel by a number, as
    folding a batch norm does, multiplies the step and leaves the integers. So the grid of the folded weight is learned,
    although the batch norm stays as it is. The method is that of Krishnamoorthi, "Quantizing deep convolutional
    networks for efficient inference" (https://arxiv.org/abs/1806.08342), section 3.2.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """`[O, ...]` to the same shape."""
        steps = weight_steps(weight.detach())
        zero = torch.zeros_like(steps, dtype=torch.int32)
        if weight.is_meta:  # torch's operation has no form for shapes alone
            return weight.clone()
        if torch.compiler.is_compiling():
            shape = (-1, *[1] * (weight.dim() - 1))
            return _rounded(weight, steps.view(shape), zero.view(shape), -LARGEST, LARGEST)
        rounded: Tensor = torch.fake_quantize_per_channel_affine(weight, steps, zero, 0, -LARGEST, LARGEST)
        return rounded


def weight_steps(weight: Tensor) -> Tensor:
    """The step between two integers of each output channel, `[O]`."""
    return (weight.flatten(1).abs().amax(1) / LARGEST).clamp(min=_SMALLEST)


class ActivationGrid(nn.Module):
    """Rounds activations to 256 steps between the ends of their range; gradients pass unchanged inside of it.

    In training, the range is the average of the ranges of the batches so far, the newest with most weight; in a run of
    several processes, of all processes. In evaluation mode it is fixed. Before the first batch nothing is rounded.

    The averages start at zero and are divided by the weight `mass` that they have so far. So the average of the whole
    student over the steps (`train.ema`), which also starts at zero, has ranges in the right proportion.

    With `rounds` False, the range is only measured, and it is that of all batches: nothing of it is cut off later.
    """

    low: Tensor
    high: Tensor
    mass: Tensor

    def __init__(self, *, rounds: bool = True) -> None:
        super().__init__()
        self.rounds = rounds
        for name in ("low", "high", "mass"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        """Any shape to the same shape and type."""
        if self.training:
            self.observe(values.detach())
        if not self.rounds:
            return values
        if values.is_meta:
            return values.clone()
        step, zero = self.step_and_zero()
        rounded: Tensor
        if torch.compiler.is_compiling():
            rounded = _rounded(values.float(), step, zero, LOWEST, HIGHEST)
        else:
            rounded = torch.fake_quantize_per_tensor_affine(values.float(), step, zero, LOWEST, HIGHEST)
        if not self.training:
            rounded = torch.where(self.mass > 0, rounded, values)
        return rounded.to(values.dtype)

    @torch.no_grad()
    def observe(self, values: Tensor) -> None:
        """Add the range of a batch to the average."""
        ends = torch.stack(torch.aminmax(values)).float()
        if world_size() > 1:
            ends = sum_over_processes(ends) / world_size()
        if not self.rounds:
            self.low.copy_(torch.minimum(self.low, ends[0]))
            self.high.copy_(torch.maximum(self.high, ends[1]))
            self.mass.fill_(1)
            return
        for buffer, new in (
            (self.low, ends[0]),
            (self.high, ends[1]),
            (self.mass, torch.ones_like(self.mass)),
        ):
            buffer.lerp_(new, _MOMENTUM)

    def step_and_zero(self) -> tuple[Tensor, Tensor]:
        """The step between two integers, and the integer of the value 0, which is always on the grid."""
        mass = self.mass.clamp(min=_SMALLEST)
        low, high = (self.low / mass).clamp(max=0), (self.high / mass).clamp(min=0)
        step = ((high - low) / (HIGHEST - LOWEST)).clamp(min=_SMALLEST)
        zero = (LOWEST - low / step).round().clamp(LOWEST, HIGHEST)
        return step, zero.to(torch.int32)


def _rounded(values: Tensor, step: Tensor, zero: Tensor, lowest: int, highest: int) -> Tensor:
    """The same as torch's operation, in parts that torch.compile knows."""
    found: Tensor = _Rounded.apply(values, step, zero, lowest, highest)
    return found


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, zero: Tensor, lowest: int, highest: int) -> Tensor:
        integers = (values * step.reciprocal()).round() + zero
        ctx.save_for_backward((integers >= lowest) & (integers <= highest))
        return (integers.clamp(lowest, highest) - zero) * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None, None
