"""ShuffleNet for CIFAR (Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network", CVPR 2018)."""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from pydantic import validate_call
from torch import Tensor, nn
from torch.nn import functional as F

from kd_cifar_models.network import Network, Normalize

_GROUPS: Final = 3
_STEM: Final = 24
_CHANNELS: Final = (240, 480, 960)
_BLOCKS: Final = (4, 8, 4)


class ShuffleNetV1(Network):
    """ShuffleNet of 3 groups. Stages 1 to 4: the stem after its ReLU, `layer1`, `layer2`, `layer3`.

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
        self.linear = nn.Linear(_CHANNELS[2], num_classes)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The stem's map after its ReLU, and that of each group."""
        first = F.relu(self.bn1(self.conv1(images)))
        second = self.layer1(first)
        third = self.layer2(second)
        return first, second, third, self.layer3(third)


class Bottleneck(nn.Module):
    """Grouped 1x1, depthwise 3x3 and grouped 1x1 convolution, the channels shuffled between.

    With stride 2 the output is concatenated with the averaged input; otherwise it is added to the input.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        inner = channels // 4
        # the stem's few channels are not split into groups
        self.groups = 1 if in_channels == _STEM else _GROUPS
        self.halves = stride == 2
        self.conv1 = nn.Conv2d(in_channels, inner, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, groups=_GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        inner = shuffled(F.relu(self.bn1(self.conv1(features))), self.groups)
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        if self.halves:
            return F.relu(torch.cat([inner, F.avg_pool2d(features, 3, 2, 1)], 1))
        return F.relu(inner + features)


def shuffled(features: Tensor, groups: int) -> Tensor:
    """The channels of `[B, C, H, W]` in the order first of each group, second of each group, and so on."""
    if groups == 1:
        return features
    batch, channels, height, width = features.shape
    split = features.reshape(batch, groups, channels // groups, height, width)
    return split.transpose(1, 2).reshape(batch, channels, height, width)


def _group(in_channels: int, channels: int, blocks: int) -> nn.Sequential:
    first = Bottleneck(in_channels, channels - in_channels, 2)
    return nn.Sequential(first, *(Bottleneck(channels, channels, 1) for _ in range(blocks - 1)))


@validate_call
def cifar_shufflenetv1(num_classes: int, in_chans: int, *, normalize: Normalize = "cifar100") -> ShuffleNetV1:
    """ShuffleNet of 3 groups, which RepDistiller's tables call ShuffleNetV1."""
    return ShuffleNetV1(num_classes, in_chans, normalize=normalize)
