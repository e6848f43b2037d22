"""MobileNetV2 of half width for CIFAR (Sandler et al., "MobileNetV2: Inverted Residuals", CVPR 2018)."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import validate_call
from torch import Tensor, nn

from kd_cifar_models.network import Network, Normalize, initialise, pooled

_EXPANSION: Final = 6
_WIDTH: Final = 0.5
# expansion, channels at width 1, blocks, stride of the first
_GROUPS: Final = (
    (1, 16, 1, 1),
    (_EXPANSION, 24, 2, 1),
    (_EXPANSION, 32, 3, 2),
    (_EXPANSION, 64, 4, 2),
    (_EXPANSION, 96, 3, 1),
    (_EXPANSION, 160, 3, 2),
    (_EXPANSION, 320, 1, 1),
)
_EMBEDDING: Final = 1280


class MobileNetV2(Network):
    """MobileNetV2. Stages 1 to 4: `blocks.1`, `blocks.2`, `blocks.4` and `blocks.6`.

    As RepDistiller's, whose weights have these names, it differs from the paper's: stride 1 in the second group, ReLU
    for ReLU6, an expansion layer also where it expands by 1, and channels cut to whole numbers.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        normalize: see `Network`.
    """

    classifier_name: ClassVar[str] = "classifier.0"
    stage_strides: ClassVar[tuple[int, int, int, int]] = (2, 4, 8, 16)

    def __init__(self, num_classes: int, in_chans: int, *, normalize: Normalize) -> None:
        super().__init__(num_classes, in_chans, normalize)
        channels = int(32 * _WIDTH)
        self.conv1 = _unit(in_chans, channels, 3, stride=2)
        groups: list[nn.Sequential] = []
        given: list[int] = []
        for expansion, full, blocks, stride in _GROUPS:
            group = nn.Sequential()
            for number in range(blocks):
                out = int(full * _WIDTH)
                group.append(InvertedResidual(channels, out, expansion, stride if number == 0 else 1))
                channels = out
            groups.append(group)
            given.append(channels)
        self.blocks = nn.ModuleList(groups)
        self.conv2 = _unit(channels, _EMBEDDING, 1)
        self.classifier = nn.Sequential(nn.Linear(_EMBEDDING, num_classes))
        self.stage_channels = (given[1], given[2], given[4], given[6])
        initialise(self)
        nn.init.normal_(self.get_classifier().weight, 0, 0.01)
        nn.init.zeros_(self.get_classifier().bias)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The maps of the last group of each grid; the first grid's stem is left aside."""
        given = []
        features = self.conv1(images)
        for group in self.blocks:
            features = group(features)
            given.append(features)
        return given[1], given[2], given[4], given[6]

    def embed(self, deepest: Tensor) -> Tensor:
        """The last 1x1 convolution with batch norm and ReLU, and the means over all places."""
        return pooled(self.conv2(deepest))


class InvertedResidual(nn.Module):
    """Expanding 1x1, depthwise 3x3 and linear 1x1 convolution, plus the identity if the shape does not change."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.residual = stride == 1 and in_channels == channels
        self.conv = nn.Sequential(
            *_unit(in_channels, inner, 1),
            *_unit(inner, inner, 3, stride=stride, groups=inner),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C', H', W']`."""
        output: Tensor = self.conv(features)
        return features + output if self.residual else output


def _unit(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


@validate_call
def cifar_mobilenetv2_half(
    num_classes: int, in_chans: int, *, normalize: Normalize = "cifar100"
) -> MobileNetV2:
    """MobileNetV2 of half width, which RepDistiller's tables call MobileNetV2."""
    return MobileNetV2(num_classes, in_chans, normalize=normalize)
