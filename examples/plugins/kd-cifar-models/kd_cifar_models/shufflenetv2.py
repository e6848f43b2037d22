"""ShuffleNetV2 for CIFAR (Ma et al., "ShuffleNet V2: Practical Guidelines", ECCV 2018)."""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from pydantic import validate_call
from torch import Tensor, nn
from torch.nn import functional as F

from kd_cifar_models.network import Network, Normalize, pooled
from kd_cifar_models.shufflenetv1 import shuffled

_STEM: Final = 24
_CHANNELS: Final = (116, 232, 464)
_BLOCKS: Final = (3, 7, 3)  # behind the one that halves the grid
_EMBEDDING: Final = 1024


class ShuffleNetV2(Network):
    """ShuffleNetV2 1x. Stages 1 to 4: the stem after its ReLU, `layer1`, `layer2`, `layer3`.

    The stem is a 1x1 convolution of stride 1, as in RepDistiller, whose weights have these names.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        normalize: see `Network`.
    """

    classifier_name: ClassVar[str] = "linear"
    stage_strides: ClassVar[tuple[int, int, int, int]] = (1, 2, 4, 8)

    def __init__(self, num_classes: int, in_chans: int, *, normalize: Normalize) -> None:
        super().__init__(num_classes, in_chans, normalize)
        self.stage_channels = (_STEM, *_CHANNELS)
        self.conv1 = nn.Conv2d(in_chans, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.layer1 = _group(_STEM, _CHANNELS[0], _BLOCKS[0])
        self.layer2 = _group(_CHANNELS[0], _CHANNELS[1], _BLOCKS[1])
        self.layer3 = _group(_CHANNELS[1], _CHANNELS[2], _BLOCKS[2])
        self.conv2 = nn.Conv2d(_CHANNELS[2], _EMBEDDING, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(_EMBEDDING)
        self.linear = nn.Linear(_EMBEDDING, num_classes)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The stem's map after its ReLU, and that of each group."""
        first = F.relu(self.bn1(self.conv1(images)))
        second = self.layer1(first)
        third = self.layer2(second)
        return first, second, third, self.layer3(third)

    def embed(self, deepest: Tensor) -> Tensor:
        """The last 1x1 convolution with batch norm and ReLU, and the means over all places."""
        return pooled(F.relu(self.bn2(self.conv2(deepest))))


class BasicBlock(nn.Module):
    """Half of the channels pass by; the others go through 1x1, depthwise 3x3 and 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        kept, inner = features.chunk(2, 1)
        inner = F.relu(self.bn1(self.conv1(inner)))
        inner = self.bn2(self.conv2(inner))
        inner = F.relu(self.bn3(self.conv3(inner)))
        return shuffled(torch.cat([kept, inner], 1), 2)


class DownBlock(nn.Module):
    """Halves the grid with two branches: depthwise 3x3 and 1x1; and 1x1, depthwise 3x3 and 1x1 convolutions."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 2, 1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H / 2, W / 2]`."""
        left = self.bn1(self.conv1(features))
        left = F.relu(self.bn2(self.conv2(left)))
        right = F.relu(self.bn3(self.conv3(features)))
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffled(torch.cat([left, right], 1), 2)


def _group(in_channels: int, channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(DownBlock(in_channels, channels), *(BasicBlock(channels) for _ in range(blocks)))


@validate_call
def cifar_shufflenetv2(num_classes: int, in_chans: int, *, normalize: Normalize = "cifar100") -> ShuffleNetV2:
    """ShuffleNetV2 1x, which RepDistiller's tables call ShuffleNetV2."""
    return ShuffleNetV2(num_classes, in_chans, normalize=normalize)
