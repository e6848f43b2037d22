"""A random resized crop and flips, the usual augmentation of large images, on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch.nn import functional as F

from kdcore.data.keyed_randomness import PYTHON, TORCH
from kdcore.data.steps import Steps, as_compared

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from kdcore.data.modes import Pixels
    from kdcore.data.normalise import Normalise
    from kdcore.data.pixels import PixelRule
    from kdcore.data.steps import Fixed

INTERPOLATIONS: Final = ("bilinear", "bicubic")
"""Those that torch computes with Pillow's weights."""


class CropSteps(Steps):
    """Grey or RGB images: a random resized crop, and flips.

    Draws the same numbers as timm's RandomResizedCropAndInterpolation and torchvision's RandomHorizontalFlip and
    RandomVerticalFlip. torch changes the size, in half of Pillow's time. Both compute the columns and then the rows,
    and round to whole levels after each, torch with shorter weights: levels differ by at most 2 of 255, most by none.
    (For some crops Pillow 13 begins with the rows. Then levels differ more where bicubic weights overshoot black or
    white, as between Pillow 12 and 13.)

    Args:
        size: height and width of the result.
        scale: range of the crop's part of the area.
        ratio: range of the crop's width relative to its height.
        interpolation: one of `INTERPOLATIONS`.
        hflip: probability of a horizontal flip.
        vflip: probability of a vertical flip.
    """

    def __init__(
        self,
        rule: PixelRule,
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None,
        *,
        size: tuple[int, int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: str,
        hflip: float = 0.0,
        vflip: float = 0.0,
    ) -> None:
        super().__init__(rule, (), normalise, erase)
        self._size, self._scale, self._ratio, self._interpolation = size, scale, ratio, interpolation
        self._flips = [(axis, as_compared(share)) for axis, share in ((-1, hflip), (-2, vflip)) if share > 0]
        self.draws |= PYTHON | TORCH if self._flips else PYTHON

    def _varied(self, fixed: Fixed) -> Pixels:
        levels = torch.from_numpy(self._crop(fixed))
        images = levels[None, None] if levels.ndim == 2 else levels.permute(2, 0, 1)[None]
        image = F.interpolate(images, self._size, mode=self._interpolation, antialias=True)[0]
        axes = [axis for axis, share in self._flips if torch.rand(1).item() < share]
        pixels: Pixels = (image.flip(axes) if axes else image).contiguous().numpy()
        return pixels

    def _crop(self, fixed: Fixed) -> Pixels:
        """`[H, W]` or `[H, W, C]`, a copy: neither Pillow's memory nor that of kept images must be written to."""
        kept = None if isinstance(fixed, Image.Image) else np.asarray(fixed)
        # timm reads the size alone
        whole: Any = fixed if kept is None else torch.empty(kept.shape[:2], device="meta")
        place = RandomResizedCropAndInterpolation.get_params(whole, self._scale, self._ratio)  # type: ignore[no-untyped-call]
        top, left, height, width = place
        # timm's crop of a tiny image may have no pixel
        bottom, right = top + max(height, 1), left + max(width, 1)
        if kept is not None:
            return np.array(kept[top:bottom, left:right])
        assert isinstance(fixed, Image.Image)
        return np.array(fixed.crop((left, top, right, bottom)))
