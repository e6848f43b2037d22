"""How many channels each layer loses, and which."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kd_prune.options import PruneOptions


@dataclass(frozen=True, eq=False)
class Layer:
    """Layers that share their channels, as one.

    Attributes:
        name: the module path of the first one.
        group: what Torch-Pruning knows about them.
        blocks: in how many blocks of one size the channels are; each block loses the same number.
        scores: how important each channel of a block is, `[C / blocks]`.
    """

    name: str
    group: Any
    blocks: int
    scores: Tensor

    @property
    def size(self) -> int:
        """The channels of one block."""
        return len(self.scores)

    def removed(self, count: int) -> list[int]:
        """The indices of the `count` least important channels of every block, ascending."""
        least = self.scores.argsort(stable=True)[:count].tolist()
        return sorted(block * self.size + index for block in range(self.blocks) for index in least)


def counts(layers: Sequence[Layer], options: PruneOptions, share: float) -> list[int]:
    """How many channels each block of each layer loses.

    Raises:
        UserError: a layer would lose all of its channels, or the share cannot be reached.
    """
    if options.spread == "global":
        return _all_together(layers, options, share)
    for layer in sorted(layers, key=lambda one: one.size)[:1]:
        if layer.size * (1 - share) < 1:
            message = f"layer '{layer.name}' has {layer.blocks * layer.size} channels, and none would be left"
            allowed = f"below {1 - 1 / layer.size:.3g}"
            raise UserError(Problem("share", message, round(share, 4), allowed))
    return [layer.size - _rounded(layer, layer.size * (1 - share), options.round_to) for layer in layers]


def _rounded(layer: Layer, wanted: float, multiple: int, least: int = 1) -> int:
    """The number of channels that stay in a block, `least` or more: the nearest with which the layer has a multiple."""
    unit = multiple // math.gcd(layer.blocks, multiple)
    if unit > layer.size:
        return max(least, round(wanted))
    nearest = max(unit, math.floor(wanted / unit + 0.5) * unit)
    return min(layer.size, max(nearest, math.ceil(least / unit) * unit))


def _all_together(layers: Sequence[Layer], options: PruneOptions, share: float) -> list[int]:
    """The least important channels of all layers, up to a share of all; a layer keeps some whatever its scores are."""
    lost = [0] * len(layers)
    most = [min(layer.size - 1, math.floor(layer.size * options.most)) for layer in layers]
    total = sum(layer.blocks * layer.size for layer in layers)
    possible = sum(layer.blocks * count for layer, count in zip(layers, most, strict=True))
    if possible < share * total:
        message = f"with 'most' {options.most:g}, {possible:,} of the {total:,} channels can be removed"
        allowed = f"up to {math.floor(1000 * possible / total) / 1000:g}"
        raise UserError(Problem("share", message, round(share, 4), allowed, hint="or a larger 'most'"))
    ranked = sorted((score, number) for number, layer in enumerate(layers) for score in layer.scores.tolist())
    removed = 0
    for _, number in ranked:
        if removed >= share * total:
            break
        if lost[number] < most[number]:
            lost[number] += 1
            removed += layers[number].blocks
    return [
        layer.size - _rounded(layer, layer.size - count, options.round_to, layer.size - limit)
        for layer, count, limit in zip(layers, lost, most, strict=True)
    ]
