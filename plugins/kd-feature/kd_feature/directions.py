"""Unit vectors and cosines, without a gradient where a vector is 0 and has no direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LEAST = 1e-12  # as in torch's normalize


def unit(vectors: Tensor) -> Tensor:
    """`[..., D]` divided by the norms; vectors of norm 0 stay 0 and get no gradient.

    The gradient of torch's `normalize` is 1e12 there, more than float16 can hold.
    """
    return vectors / _divisor(torch.linalg.vector_norm(vectors, dim=-1, keepdim=True))


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """The cosines `[...]` of vectors `[..., D]`; 0, without a gradient, where one of them is 0."""
    norms = [torch.linalg.vector_norm(each, dim=-1) for each in (one, other)]
    return (one * other).sum(dim=-1) / _divisor(norms[0]) / _divisor(norms[1])


def _divisor(norms: Tensor) -> Tensor:
    return torch.where(norms > _LEAST, norms, math.inf)
