"""Features standardised over the samples of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def standardised(features: Tensor, *, unbiased: bool = False) -> Tensor:
    """`[B, D]` minus its mean over the samples, divided by its deviation; 0 where all samples are equal.

    Args:
        features: `[B, D]`.
        unbiased: divide the squares by B - 1 instead of B.
    """
    # without the first sample, equal samples are exactly 0, and rounding does not become a deviation
    apart = features - features[:1].detach()
    centred = apart - apart.mean(dim=0)
    variance = centred.square().sum(dim=0) / max(len(features) - int(unbiased), 1)
    differs = variance > 0
    return centred * torch.where(differs, torch.where(differs, variance, 1.0).rsqrt(), 0.0)
