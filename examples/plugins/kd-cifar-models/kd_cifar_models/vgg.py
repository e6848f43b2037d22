"""VGG for CIFAR, with batch norm (Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015)."""

from __future__ import annotations

from typing import ClassVar, Protocol

from pydantic import validate_call
from torch import Tensor, nn
from torch.nn import functional as F

from kd_cifar_models.network import Network, Normalize, initialise

_LARGE = 64  # px; from here on all four poolings are used


class VGG(Network):
    """Five blocks of 3x3 convolutions. Stages 1 to 4: `block1` to `block4`, after their last ReLU.

    The modules `block1` to `block4` themselves give the maps before that ReLU. Three poolings lie between the blocks;
    images of 64 px and more have a fourth in front of `block4`, as in RepDistiller, whose weights have these names.

    Args:
        num_classes: K.
        in_chans: channels of the images.
        convolutions: how many each block has.
        normalize: see `Network`.
    """

    classifier_name: ClassVar[str] = "classifier"
    stage_strides: ClassVar[tuple[int, int, int, int]] = (2, 4, 8, 8)

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        *,
        convolutions: tuple[int, int, int, int, int],
        normalize: Normalize,
    ) -> None:
        super().__init__(num_classes, in_chans, normalize)
        self.stage_channels = (128, 256, 512, 512)
        self.block0 = _block(in_chans, 64, convolutions[0])
        self.block1 = _block(64, 128, convolutions[1])
        self.block2 = _block(128, 256, convolutions[2])
        self.block3 = _block(256, 512, convolutions[3])
        self.block4 = _block(512, 512, convolutions[4])
        self.classifier = nn.Linear(512, num_classes)
        initialise(self)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The maps of the last four blocks after their ReLU."""
        features = F.relu(self.block0(images))
        first = F.relu(self.block1(F.max_pool2d(features, 2)))
        second = F.relu(self.block2(F.max_pool2d(first, 2)))
        third = F.relu(self.block3(F.max_pool2d(second, 2)))
        shrunk = F.max_pool2d(third, 2) if images.shape[2] >= _LARGE else third
        return first, second, third, F.relu(self.block4(shrunk))

    def grid(self, image_size: tuple[int, int], stage: int) -> tuple[int, int]:
        """Height and width of a stage's map; halving rounds down."""
        stride = self.stage_strides[stage - 1]
        if stage == 4 and image_size[0] >= _LARGE:
            stride *= 2
        return image_size[0] // stride, image_size[1] // stride


def _block(in_channels: int, channels: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(convolutions):
        convolution = nn.Conv2d(channels if number else in_channels, channels, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class _Build(Protocol):
    def __call__(self, num_classes: int, in_chans: int, *, normalize: Normalize = ...) -> VGG: ...


def _vgg(*convolutions: int) -> _Build:
    first, second, third, fourth, fifth = convolutions

    @validate_call
    def build(num_classes: int, in_chans: int, *, normalize: Normalize = "cifar100") -> VGG:
        blocks = (first, second, third, fourth, fifth)
        return VGG(num_classes, in_chans, convolutions=blocks, normalize=normalize)

    return build


cifar_vgg8 = _vgg(1, 1, 1, 1, 1)
cifar_vgg11 = _vgg(1, 1, 2, 2, 2)
cifar_vgg13 = _vgg(2, 2, 2, 2, 2)
cifar_vgg16 = _vgg(2, 2, 3, 3, 3)
cifar_vgg19 = _vgg(2, 2, 4, 4, 4)
