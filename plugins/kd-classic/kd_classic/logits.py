"""Logits with and without the target class.

There are no matrix products, so autocast does not lower the precision once the logits are in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B]` of `[B, K]` at one class per sample `[B]`."""
    return values.gather(1, index.unsqueeze(1)).squeeze(1)


def without_class(values: Tensor, index: Tensor) -> Tensor:
    """The values `[B, K]` without one class per sample `[B]`, as `[B, K - 1]`; the others keep their order.

    This is exact. The original implementations of the methods subtract a constant from the logit instead, which
    fails if a logit is larger than that constant.
    """
    before = torch.arange(values.shape[1] - 1, device=values.device) < index.unsqueeze(1)
    return torch.where(before, values[:, :-1], values[:, 1:])
