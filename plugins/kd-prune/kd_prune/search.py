"""The share of channels with which a model loses the wanted share of its multiply-adds or parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from kd_prune.cut import Cut, cut
from kdcore import Problem, UserError
from kdcore.inspect import cost, count_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from kd_prune.options import PruneOptions

_WORDS: Final = {"macs": "multiply-adds", "parameters": "parameters"}
_STEPS: Final = 7
"""Halvings of the range of shares: the last step is below 1 %."""


def find_cut(model: nn.Module, images: Tensor, options: PruneOptions, seed: int) -> Cut:
    """A pruned copy of a model that has lost at least the share that the options give.

    Raises:
        UserError: no share of channels is enough, or the model loses nothing.
    """

    def tried(share: float) -> Cut:
        torch.default_generator.manual_seed(seed)  # each try draws the same random scores
        return cut(model, images, options, share)

    found = tried(options.share) if options.of == "channels" else _halve(model, images, options, tried)
    if not found.history:
        message = f"nothing would be removed: with so few channels, each layer keeps a multiple of {options.round_to}"
        raise UserError(
            Problem("share", message, options.share, hint="a larger share, or a smaller 'round_to'")
        )
    return found


def _halve(model: nn.Module, images: Tensor, options: PruneOptions, tried: Callable[[float], Cut]) -> Cut:
    whole = _size(model, images, options)
    low, high, best, least = 0.0, 1.0, None, 1.0
    reason: UserError | None = None
    for _ in range(_STEPS):
        share = (low + high) / 2
        try:
            one = tried(share)
        except UserError as error:  # a layer would have no channel left
            if not all(problem.where == "share" for problem in error.problems):
                raise
            high, reason = share, error
            continue
        rest = _size(one.model, images, options) / whole
        if rest <= 1 - options.share:
            best, high = one, share
        else:
            low, least = share, min(least, rest)
    if best is None:
        message = f"the model can lose {1 - least:.0%} of its {_WORDS[options.of]} at most"
        raise UserError(Problem("share", message, options.share, hint="a smaller share")) from reason
    return best


def count_macs(model: nn.Module, images: Tensor) -> int | None:
    """The multiply-adds of one image; None for a model that reads values of its images."""
    found = cost(model, (1, *images.shape[1:]))
    return None if found is None else found.macs


def _size(model: nn.Module, images: Tensor, options: PruneOptions) -> int:
    if options.of == "parameters":
        return count_parameters(model)
    found = count_macs(model, images)
    if found is None:
        message = "the multiply-adds of this model cannot be counted: it reads values of its images"
        raise UserError(Problem("of", message, options.of, "channels, parameters"))
    return found
