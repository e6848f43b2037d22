"""`overconfidence`: how much more confident a model is than it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def overconfidence(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The mean of the largest probability minus the accuracy.

    Args:
        probabilities: `[N, K]`.
        targets: class indices `[N]`.
    """
    confidence, first = probabilities.double().max(dim=1)
    return confidence.mean() - (first == targets).double().mean()
