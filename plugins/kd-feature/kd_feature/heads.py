"""Layers that several methods put between the student's map and the teacher's, with their authors' initialisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-12  # a norm that counts


def conv_norm(channels: int, width: int, *, from_fan_out: bool = False) -> nn.Sequential:
    """A 1x1 convolution without bias, and batch norm.

    Args:
        channels: of the input.
        width: channels of the output.
        from_fan_out: initialise the convolution with the standard deviation sqrt(2 / width), as OFD and SRRL do.
    """
    convolution = nn.Conv2d(channels, width, 1, bias=False)
    if from_fan_out:
        nn.init.normal_(convolution.weight, 0.0, math.sqrt(2 / width))
    return nn.Sequential(convolution, nn.BatchNorm2d(width))


def bottleneck(channels: int, middle: int, width: int, *, ends_with_relu: bool) -> nn.Sequential:
    """1x1, 3x3 and 1x1 convolutions without bias, the projector of SimKD and SemCKD.

    Batch norm and ReLU follow the first two, and with `ends_with_relu` also the last one.
    """
    layers: list[nn.Module] = []
    for inputs, outputs, kernel in ((channels, middle, 1), (middle, middle, 3)):
        layers += [
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    layers.append(nn.Conv2d(middle, width, 1, bias=False))
    if ends_with_relu:
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def generator(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU between them, which generate the teacher's map in MGD and ViTKD."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
    )


def unit(values: Tensor, dim: int) -> Tensor:
    """The values divided by their L2 norm along `dim`; zeros stay zeros and get no gradient.

    With a small number added to the norm, they would get a huge one.
    """
    norm = torch.linalg.vector_norm(values, dim=dim, keepdim=True)
    return values * torch.where(norm > _SMALLEST, 1 / norm.clamp(min=_SMALLEST), 0.0)


def resized(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """The map `[B, C, H, W]` on another grid: averaged if that is not larger, otherwise interpolated bilinearly."""
    height, width = features.shape[2:]
    if (height, width) == grid:
        return features
    if height >= grid[0] and width >= grid[1]:
        return F.adaptive_avg_pool2d(features, grid)
    return F.interpolate(features, grid, mode="bilinear", align_corners=False)
