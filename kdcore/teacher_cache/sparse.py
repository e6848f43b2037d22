"""Logits stored as the k largest and the total probability of the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def split(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest logits `[B, k]`, their classes `[B, k]`, and the logsumexp of the others `[B, 1]`.

    The last one is relative to the largest logit, so that adding a constant to all logits does not change it.
    """
    logits = logits.float()
    values, classes = logits.topk(k, dim=1)
    others = logits.scatter(1, classes, -torch.inf).logsumexp(1, keepdim=True)
    return values, classes, others - values[:, :1]


def join(values: Tensor, classes: Tensor, rest: Tensor, num_classes: int) -> Tensor:
    """Logits `[B, K]` with these largest ones; all other classes share one value.

    With this value, a softmax at temperature 1 gives the other classes the same total probability as before.
    """
    each = values[:, :1] + rest - math.log(num_classes - values.shape[1])
    return each.expand(-1, num_classes).scatter(1, classes.long(), values)
