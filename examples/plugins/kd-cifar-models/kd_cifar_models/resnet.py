"""ResNet for CIFAR: a stem and three groups of basic blocks (He et al., "Deep Residual Learning", CVPR 2016, 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import validate_call
from torch import Tensor, nn
from torch.nn import functional as F

from kd_cifar_models.network import Network, Normalize, initialise

if TYPE_CHECKING:
    from collections.abc import Mapping

Shortcut = Literal["A", "B"]


class ResNet(Network):
    """ResNet of 6n + 2 layers. Stages 1 to 4: the stem after its ReLU, `layer1`, `layer2`, `layer3`.

    Shortcuts that change the shape are, by the paper's letters, `A`: every second place, the new channels zero; `B`: a
    1x1 convolution with batch norm, as RepDistiller has it. All others are the identity.

    The names of its weights are those of RepDistiller's.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        depth: 6n + 2.
        channels: of stages 1 to 4.
        shortcut: `A` or `B`.
        normalize: see `Network`.

    Raises:
        ValueError: the depth is not 6n + 2.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        *,
        depth: int,
        channels: tuple[int, int, int, int],
        shortcut: Shortcut,
        normalize: Normalize,
    ) -> None:
        super().__init__(num_classes, in_chans, normalize)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth is {depth}; it must be 6n + 2, such as 20")
        self.stage_channels = channels
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_chans, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.layer1 = _group(channels[0], channels[1], 1, blocks, shortcut)
        self.layer2 = _group(channels[1], channels[2], 2, blocks, shortcut)
        self.layer3 = _group(channels[2], channels[3], 2, blocks, shortcut)
        self.fc = nn.Linear(channels[3], num_classes)
        initialise(self)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The stem's map after its ReLU, and that of each group."""
        first = F.relu(self.bn1(self.conv1(images)))
        second = self.layer1(first)
        third = self.layer2(second)
        return first, second, third, self.layer3(third)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. The sum is a module, so its module path gives the map before the ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride, shortcut)
        self.sum = Sum()

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        inner = F.relu(self.bn1(self.conv1(features)))
        inner = self.bn2(self.conv2(inner))
        return F.relu(self.sum(inner, self.downsample(features)))


class Sum(nn.Module):
    """Adds two maps."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two maps of one shape -> their sum."""
        return first + second


class ZeroPadded(nn.Module):
    """Shortcut A: every `stride`-th place, and half of the new channels, zero, on each side of the old ones."""

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = new_channels // 2
        self.after = new_channels - self.before

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        features = features[:, :, :: self.stride, :: self.stride]
        return F.pad(features, (0, 0, 0, 0, self.before, self.after))


def checkpoint_filter_fn(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights of akamaster's pytorch_resnet_cifar10, whose classifier is `linear`, by the names that are used here."""
    return {
        f"fc.{name.removeprefix('linear.')}" if name.startswith("linear.") else name: value
        for name, value in weights.items()
    }


def _group(in_channels: int, channels: int, stride: int, blocks: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(blocks - 1)))


def _shortcut(in_channels: int, channels: int, stride: int, shortcut: Shortcut) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if shortcut == "A":
        return ZeroPadded(stride, channels - in_channels)
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


class _Build(Protocol):
    def __call__(
        self,
        num_classes: int,
        in_chans: int,
        *,
        shortcut: Shortcut = ...,
        normalize: Normalize = ...,
    ) -> ResNet: ...


def _resnet(depth: int, channels: tuple[int, int, int, int]) -> _Build:
    @validate_call
    def build(
        num_classes: int, in_chans: int, *, shortcut: Shortcut = "B", normalize: Normalize = "cifar100"
    ) -> ResNet:
        return ResNet(
            num_classes, in_chans, depth=depth, channels=channels, shortcut=shortcut, normalize=normalize
        )

    return build


_NARROW = (16, 16, 32, 64)
_WIDE = (32, 64, 128, 256)

cifar_resnet8 = _resnet(8, _NARROW)
cifar_resnet14 = _resnet(14, _NARROW)
cifar_resnet20 = _resnet(20, _NARROW)
cifar_resnet32 = _resnet(32, _NARROW)
cifar_resnet44 = _resnet(44, _NARROW)
cifar_resnet56 = _resnet(56, _NARROW)
cifar_resnet110 = _resnet(110, _NARROW)
cifar_resnet8x4 = _resnet(8, _WIDE)
cifar_resnet32x4 = _resnet(32, _WIDE)
