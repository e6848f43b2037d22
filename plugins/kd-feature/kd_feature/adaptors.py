"""The adaptor heads of RADIO: from the student's channels to a teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


def adaptor(kind: Literal["linear", "mlp", "mlp2"], inputs: int, outputs: int, hidden: int) -> nn.Module:
    """A head `[..., inputs]` to `[..., outputs]`: one linear layer, RADIO's first MLP, or its second one."""
    if kind == "linear":
        return nn.Linear(inputs, outputs)
    if kind == "mlp":
        return nn.Sequential(
            nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        _Residual(hidden),
        nn.LayerNorm(hidden),
        nn.GELU(),
        nn.Linear(hidden, outputs),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width))

    def forward(self, values: Tensor) -> Tensor:
        added: Tensor = values + self.layers(values)
        return added
