"""Standardisation by running statistics of the batches of all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from kdcore.ops import sum_over_processes

if TYPE_CHECKING:
    Standardisation = Literal["ema", "batch", "none"]

_EPS = 1e-6  # of UNIC
_LEAST, _MOMENTUM = 1e-3, 0.1  # of DUNE


class RunningStandardise(nn.Module):
    """Features minus a mean, divided by a deviation, for each channel.

    `ema` (UNIC): by the running statistics of the steps before, which start with 0 and 1; then they are updated.
    `batch` (DUNE): by those of this batch; the running ones are kept for later use. Every process has the same
    statistics.

    Attributes:
        mean: `[C]`, a buffer.
        deviation: `[C]`, a buffer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def forward(self, features: Tensor, kind: Standardisation, momentum: float) -> Tensor:
        """`[..., C]` to `[..., C]`; the statistics change if the module is in training mode.

        Args:
            features: without a gradient.
            kind: `none` gives the features as they are.
            momentum: the share of this batch in the running statistics of `ema`.
        """
        if kind == "none":
            return features
        mean, deviation = _moments(features)
        if kind == "batch":
            deviation = deviation.clamp(min=_LEAST)
            found = (features - mean) / deviation
            self._follow(mean, deviation, _MOMENTUM)
            return found
        found = (features - self.mean.to(features.dtype)) / (self.deviation.to(features.dtype) + _EPS)
        self._follow(mean, deviation + _EPS, momentum)
        return found

    @torch.no_grad()
    def _follow(self, mean: Tensor, deviation: Tensor, momentum: float) -> None:
        if self.training:
            self.mean.lerp_(mean.to(self.mean.dtype), momentum)
            self.deviation.lerp_(deviation.to(self.deviation.dtype), momentum)


@torch.no_grad()
def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased deviation `[C]` over the batches of all processes."""
    flat = features.flatten(0, -2)
    count = flat.new_full((1,), float(len(flat)))
    sums = sum_over_processes(torch.cat([flat.sum(dim=0), count]))
    total, mean = sums[-1], sums[:-1] / sums[-1]
    squares = sum_over_processes((flat - mean).square().sum(dim=0))
    return mean, (squares / (total - 1).clamp(min=1)).sqrt()
