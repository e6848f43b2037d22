"""The layers that give the student's feature map the shape of the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from kdcore import StageInfo

_LARGEST_FACTOR = (
    4  # between grids: up to this factor one convolution changes the grid; its weights grow with the square
)


class Regressor(nn.Sequential):
    """A trained map from the student's stage to the teacher's: `[B, C, H, W]` to `[B, C', H', W']`.

    It changes the grid as RepDistiller's `ConvReg`, which supports the factors 1/2, 1 and 2, and also supports other
    factors. For equal grids it is a 1x1 convolution. If the student's grid is 2, 3 or 4 times as high and as wide, it
    is a strided convolution whose kernel covers the stride; if the teacher's grid is, it is a transposed convolution.
    Otherwise it is a 1x1 convolution, and the map is resized: averaged if the teacher's grid is not larger in height or
    width, otherwise interpolated bilinearly.

    Args:
        student: shape of the student's stage.
        teacher: shape of the teacher's stage.
        nonlinear: follow with batch norm and ReLU.
    """

    def __init__(self, student: StageInfo, teacher: StageInfo, *, nonlinear: bool) -> None:
        convolution = _convolution(student, teacher)
        layers: list[nn.Module] = [convolution]
        if (
            isinstance(convolution, nn.Conv2d)
            and convolution.kernel_size == (1, 1)
            and student.grid != teacher.grid
        ):
            resize = _Resize(teacher.grid)
            shrinks = student.grid[0] * student.grid[1] > teacher.grid[0] * teacher.grid[1]
            # resizing and a 1x1 convolution commute: first do the one that makes the other cheaper
            layers = [resize, convolution] if shrinks else [convolution, resize]
        if nonlinear:
            layers += [nn.BatchNorm2d(teacher.channels), nn.ReLU()]
        super().__init__(*layers)


def _convolution(student: StageInfo, teacher: StageInfo) -> nn.Conv2d | nn.ConvTranspose2d:
    channels = (student.channels, teacher.channels)
    down, up = _factor(student.grid, teacher.grid), _factor(teacher.grid, student.grid)
    if down is not None and down > 1:
        half = down // 2
        return nn.Conv2d(*channels, 2 * half + 1, stride=down, padding=half)
    if up is not None and up > 1:
        half = up // 2
        return nn.ConvTranspose2d(*channels, up + 2 * half, stride=up, padding=half)
    return nn.Conv2d(*channels, 1)


def _factor(large: tuple[int, int], small: tuple[int, int]) -> int | None:
    """The ratio of the heights and of the widths, if both are the same small whole number; otherwise None."""
    factor = large[0] // small[0]
    exact = large == (factor * small[0], factor * small[1])
    return factor if exact and 1 <= factor <= _LARGEST_FACTOR else None


class _Resize(nn.Module):
    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        if height >= self.grid[0] and width >= self.grid[1]:
            return F.adaptive_avg_pool2d(features, self.grid)
        return F.interpolate(features, self.grid, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        return f"{self.grid}"
