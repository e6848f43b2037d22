"""Logit standardisation (LSKD): the student learns the relations of the teacher's logits, not their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.ops import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-7  # from the authors' code, added to the standard deviation


def standardize_logits(logits: Tensor) -> Tensor:
    """The z-scores of each sample's logits over the classes.

    `[B, K]` to `[B, K]`, in float32 at least. Divide the result by the temperature afterwards, as with logits. The
    standard deviation is the unbiased one (K - 1), as in the authors' code. A sample whose logits are all equal
    gives zeros, and no gradient.

    Source: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024, algorithm 1.

    Raises:
        ValueError: the logits are not floating point `[B, K]` with K >= 2.
    """
    if not logits.is_floating_point() or logits.dim() != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"logits are {logits.dtype} of shape {list(logits.shape)}; "
            "they must be floating point [B, K] with K >= 2"
        )
    logits = at_least_float32(logits)
    # A shift does not change the z-score. This one keeps the precision that a large common part would cost, and
    # makes equal logits exactly 0, so their deviation is exactly 0 too.
    shifted = logits - logits.detach().amax(dim=1, keepdim=True)
    centred = shifted - shifted.mean(dim=1, keepdim=True)  # autograd keeps this one for both lines below
    deviation = centred.std(dim=1, keepdim=True)
    scores = centred / (deviation + _EPS)
    return scores.masked_fill_(deviation == 0, 0.0)
