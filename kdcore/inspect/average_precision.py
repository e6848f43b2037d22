"""Average precision of each class: how well its score ranks the images that have it above the others."""

from __future__ import annotations

import torch
from torch import Tensor


def average_precision(
    scores: Tensor, positive: Tensor, counts: Tensor | None = None, *, known: Tensor | None = None
) -> Tensor:
    """Average precision of each class in percent `[K]`, or `[R, K]` with counts; NaN for a class without images.

    Args:
        scores: `[N, K]`; only their order within a class matters.
        positive: which images have each class `[N, K]`, boolean.
        counts: how often each of R samples has each image `[N, R]`, float32; None: one sample has each image once.
        known: for which images it is known whether they have a class `[N, K]`; the others are left out. None: for all.

    Source: scikit-learn's `average_precision_score`: the sum of the precision at each threshold, times the growth of
    the recall; images with equal scores share one threshold.
    """
    pairs = zip(scores.T.contiguous(), positive.T.contiguous(), strict=True)
    if known is None:
        found = torch.stack([_of_class(*pair, counts) for pair in pairs], dim=1)
    else:
        found = torch.stack(
            [
                _of_class(one[own], has[own], None if counts is None else counts[own])
                for (one, has), own in zip(pairs, known.T.contiguous(), strict=True)
            ],
            dim=1,
        )
    return found[0] if counts is None else found


def _of_class(scores: Tensor, positive: Tensor, counts: Tensor | None) -> Tensor:
    """Of scores `[N]`, labels `[N]` and counts `[N, R]`: the average precision in each sample `[R]`."""
    if not bool(positive.any()):
        return torch.full((1 if counts is None else counts.shape[1],), torch.nan, dtype=torch.float64)
    order = scores.argsort(descending=True)
    ranked = scores[order]
    # the last place of each run of equal scores is a threshold
    last = torch.ones(len(ranked), dtype=torch.bool)
    last[:-1] = ranked[1:] != ranked[:-1]
    places = positive[order].nonzero().flatten()
    ends = last.nonzero().flatten()
    thresholds = ends[torch.searchsorted(ends, places)]  # of each image that has the class
    until = torch.searchsorted(places, thresholds, right=True) - 1  # the last one above the threshold
    if counts is None:
        return 100 * ((until + 1).double() / (thresholds + 1)).mean(dim=0, keepdim=True)
    above = counts[order].cumsum(dim=0)[thresholds].double()  # float32 counts exactly up to 16 million
    own = counts[order[places]].double()
    right = own.cumsum(dim=0)
    total = (own * right[until] / above.clamp(min=1)).sum(dim=0)
    return 100 * total / right[-1]  # 0 / 0 is NaN: the sample has no image of the class
