"""`plain-net`: a network that is small enough to be computed by hand."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

BLOCKS = 4


class PlainNet(nn.Module):
    """Four blocks of a 3x3 convolution, ReLU and 2x2 average pooling, then a linear layer on the mean of the map.

    Attributes:
        blocks: the convolutions.
        head: the linear layer.
    """

    def __init__(self, num_classes: int, in_chans: int, width: int) -> None:
        super().__init__()
        channels = [in_chans, *(width * 2**number for number in range(BLOCKS))]
        self.blocks = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(channels)
        )
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[B, C, H, W]` to logits `[B, K]`."""
        for convolution in self.blocks:
            images = self.pool(convolution(images).relu())
        logits: Tensor = self.head(images.mean((2, 3)))
        return logits


def build(num_classes: int, in_chans: int, *, width: int) -> PlainNet:
    """The model with its initial weights."""
    return PlainNet(num_classes, in_chans, width)
