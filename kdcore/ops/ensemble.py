"""Several teachers as one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of several models' probabilities, `log(mean_m softmax(logits_m))`.

    Each of `logits` is `[B, K]`, and so is the result, in float32 or wider. It is computed in log space, so a class to
    which every model gives a tiny probability keeps it.

    Raises:
        ValueError: there are no logits.
    """
    if not logits:
        raise ValueError("mean_logits needs the logits of at least one model")
    wide = [one if one.dtype == torch.float64 else one.float() for one in logits]
    shares = torch.stack([torch.log_softmax(one, dim=1) for one in wide])
    return torch.logsumexp(shares, dim=0) - math.log(len(logits))
