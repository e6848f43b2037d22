"""The attention based fusion of a stage's map with what was fused of the deeper stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Fusion(nn.Module):
    """One stage of the review, the authors' module `ABF`.

    The student's map and the fused one of the deeper stages each get a weight per place, from both of them. Their sum
    goes to the next stage, and through a 3x3 convolution to the loss. Both are resized to the nearest place.

    Args:
        channels: of the student's map.
        mid_channels: of what is fused.
        teacher_channels: of the teacher's map.
        teacher_grid: height and width of the teacher's map.
        deepest: nothing was fused before.
    """

    def __init__(
        self,
        channels: int,
        mid_channels: int,
        teacher_channels: int,
        teacher_grid: tuple[int, int],
        *,
        deepest: bool,
    ) -> None:
        super().__init__()
        self.teacher_grid = teacher_grid
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels)
        )
        self.expand = nn.Sequential(
            nn.Conv2d(mid_channels, teacher_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(teacher_channels),
        )
        self.attention = None if deepest else nn.Conv2d(2 * mid_channels, 2, 1)
        for unit in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(unit.get_parameter("0.weight"), a=1)

    def forward(self, features: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """The map for the loss, of the teacher's shape, and the fused one, `[B, mid_channels, *teacher_grid]`.

        Args:
            features: the student's map, `[B, channels, H, W]`.
            deeper: the fused map of the next deeper stage, `[B, mid_channels, H', W']`; None for the deepest.
        """
        fused = self.reduce(features)
        if self.attention is not None and deeper is not None:
            deeper = F.interpolate(deeper, fused.shape[2:], mode="nearest")
            weights = self.attention(torch.cat([fused, deeper], 1)).sigmoid()
            fused = fused * weights[:, :1] + deeper * weights[:, 1:]
        if fused.shape[2:] != self.teacher_grid:
            fused = F.interpolate(fused, self.teacher_grid, mode="nearest")
        return self.expand(fused), fused
