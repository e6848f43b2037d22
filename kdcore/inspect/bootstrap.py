"""Confidence intervals of measures, by drawing the evaluation images again with replacement."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from kdcore.data.keyed_randomness import BOOTSTRAP, mix64

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
Interval = tuple[float, float]


def resample(counts: Tensor, *, resamples: int = RESAMPLES, seed: int = 0) -> Tensor:
    """Samples with replacement of N images in C groups of equal ones: the images of each group, `[R, C]`.

    They are a function of the seed and the counts, and so equal for any number of processes.

    Args:
        counts: the images of each group `[C]`; their sum is N.
        resamples: R.
        seed: of the draw.
    """
    size = int(counts.sum())
    generator = np.random.Generator(np.random.PCG64(mix64(BOOTSTRAP, seed, size)))
    return torch.from_numpy(generator.multinomial(size, counts.double().numpy() / size, size=resamples))


def interval(values: Tensor) -> Interval | None:
    """The interval that holds 95 % of the resampled values `[R]`: from their 2.5th to their 97.5th percentile.

    Samples in which the measure has no value (NaN) are left out; None if more than half of them are.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    known = values[~values.isnan()].double()
    if not len(known) or len(known) * 2 < len(values):
        return None
    rest = (1 - CONFIDENCE) / 2
    low, high = torch.quantile(known, torch.tensor([rest, 1 - rest], dtype=torch.float64)).tolist()
    return low, high


def column_intervals(values: Tensor) -> list[Interval | None]:
    """The interval of each column of resampled values `[R, K]`, as `interval`: all at once, for many classes."""
    ranked = values.double().sort(dim=0).values  # NaN come last
    known = (~values.isnan()).sum(dim=0)
    last = (known - 1).clamp(min=0)
    rest = (1 - CONFIDENCE) / 2
    ends = []
    for part in (rest, 1 - rest):
        place = part * last.double()
        below = place.floor().long()
        low, high = (ranked.gather(0, rows[None])[0] for rows in (below, torch.minimum(below + 1, last)))
        ends.append((low + (high - low) * (place - below)).tolist())
    enough = ((known > 0) & (2 * known >= len(values))).tolist()
    return [(low, high) if own else None for low, high, own in zip(*ends, enough, strict=True)]
