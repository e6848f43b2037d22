"""Heads for tokens: a ladder of MLPs, one for each block (UNIC), and a transformer block (DUNE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from kd_feature.projections import small_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Ladder(nn.Module):
    """The sum of one MLP for each block: linear layer, GELU, linear layer.

    Args:
        widths: of the blocks' outputs.
        dim: of the result.
        hidden: width inside each MLP, except for the last one.
        last_hidden: width inside the last one.
    """

    def __init__(self, widths: Sequence[int], dim: int, hidden: int, last_hidden: int) -> None:
        super().__init__()
        inside = [hidden] * (len(widths) - 1) + [last_hidden]
        self.rungs = nn.ModuleList(
            nn.Sequential(small_linear(width, wide), nn.GELU(), small_linear(wide, dim))
            for width, wide in zip(widths, inside, strict=True)
        )

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        """The outputs of all blocks `[..., width]` to `[..., dim]`."""
        total: Tensor | None = None
        for rung, output in zip(self.rungs, outputs, strict=True):
            step = rung(output)
            total = step if total is None else total + step
        assert total is not None
        return total


class BlockHead(nn.Module):
    """One transformer block over all tokens `[B, N, C]`, then a linear layer to `[B, N, D]`."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        heads = width // 64 if width % 64 == 0 else 1
        self.block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.linear = nn.Linear(width, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, C]` to `[B, N, D]`."""
        projected: Tensor = self.linear(self.block(tokens))
        return projected
