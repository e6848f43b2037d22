"""Wide ResNet for CIFAR (Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016)."""

from __future__ import annotations

from typing import Protocol

from pydantic import validate_call
from torch import Tensor, nn
from torch.nn import functional as F

from kd_cifar_models.network import Network, Normalize, initialise, pooled


class WideResNet(Network):
    """WRN of 6n + 4 layers. Stages 1 to 4: `conv1`, `block1`, `block2`, `block3`, each before the next batch norm.

    The map before the ReLU but behind its batch norm, which some methods take, is that of the modules
    `block2.layer.0.bn1`, `block3.layer.0.bn1` and `bn1`.

    The names of its weights are those of RepDistiller's.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        depth: 6n + 4.
        width: factor of 16, 32 and 64 channels.
        normalize: see `Network`.

    Raises:
        ValueError: the depth is not 6n + 4.
    """

    def __init__(
        self, num_classes: int, in_chans: int, *, depth: int, width: int, normalize: Normalize
    ) -> None:
        super().__init__(num_classes, in_chans, normalize)
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth is {depth}; it must be 6n + 4, such as 16")
        self.stage_channels = channels = (16, 16 * width, 32 * width, 64 * width)
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_chans, channels[0], 3, padding=1, bias=False)
        self.block1 = Group(channels[0], channels[1], 1, blocks)
        self.block2 = Group(channels[1], channels[2], 2, blocks)
        self.block3 = Group(channels[2], channels[3], 2, blocks)
        self.bn1 = nn.BatchNorm2d(channels[3])
        self.fc = nn.Linear(channels[3], num_classes)
        initialise(self)
        nn.init.zeros_(self.fc.bias)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The stem's map, and that of each group."""
        first = self.conv1(images)
        second = self.block1(first)
        third = self.block2(second)
        return first, second, third, self.block3(third)

    def embed(self, deepest: Tensor) -> Tensor:
        """Batch norm, ReLU, and the means over all places."""
        return pooled(F.relu(self.bn1(deepest)))


class Group(nn.Module):
    """Blocks of one width."""

    def __init__(self, in_channels: int, channels: int, stride: int, blocks: int) -> None:
        super().__init__()
        first = PreActBlock(in_channels, channels, stride)
        self.layer = nn.Sequential(first, *(PreActBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        output: Tensor = self.layer(features)
        return output


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, and a shortcut.

    If the number of channels changes, the shortcut is a 1x1 convolution after the first ReLU; otherwise it is the
    identity before it.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convShortcut = (
            None if in_channels == channels else nn.Conv2d(in_channels, channels, 1, stride, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        active = F.relu(self.bn1(features))
        shortcut = features if self.convShortcut is None else self.convShortcut(active)
        inner = F.relu(self.bn2(self.conv1(active)))
        output: Tensor = shortcut + self.conv2(inner)
        return output


class _Build(Protocol):
    def __call__(self, num_classes: int, in_chans: int, *, normalize: Normalize = ...) -> WideResNet: ...


def _wrn(depth: int, width: int) -> _Build:
    @validate_call
    def build(num_classes: int, in_chans: int, *, normalize: Normalize = "cifar100") -> WideResNet:
        return WideResNet(num_classes, in_chans, depth=depth, width=width, normalize=normalize)

    return build


cifar_wrn_16_1 = _wrn(16, 1)
cifar_wrn_16_2 = _wrn(16, 2)
cifar_wrn_40_1 = _wrn(40, 1)
cifar_wrn_40_2 = _wrn(40, 2)
