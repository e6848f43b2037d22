"""The steps for an image before it is normalised: a fixed part, and a random part.

The result of the fixed part can be kept in memory. If the random part only crops and flips, it works on arrays, which
takes a tenth of the time of PIL images; the pixels are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from kdcore.data.keyed_randomness import PYTHON, TORCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from kdcore.data.keyed_randomness import Draws
    from kdcore.data.normalise import Normalise

    PilStep = Callable[[Image.Image], Image.Image]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Fixed = Image.Image | Pixels
"""The result of the fixed part; the random part also accepts it as an array."""


class Steps:
    """PIL image -> `[C, H, W]`: `vary(fixed(image))`, then `normalise`, unless erasing is on, which includes it.

    Args:
        fixed: steps that depend only on the image.
        normalise: the normalisation of a whole batch.
        erase: erases parts of a normalised image, in place; draws from Python's generator.

    Attributes:
        draws: the generators that `vary` draws from.
    """

    draws: Draws

    def __init__(
        self, fixed: Sequence[PilStep], normalise: Normalise, erase: Callable[[Tensor], Tensor] | None
    ) -> None:
        self._fixed, self.normalise, self._erase = fixed, normalise, erase
        self.draws = frozenset() if erase is None else PYTHON

    @property
    def fixed_steps(self) -> Sequence[PilStep]:
        """The steps of the fixed part."""
        return self._fixed

    def of_view(self, view: int) -> Steps:
        """The steps of one of several views; here those of all."""
        return self

    def fixed(self, image: Image.Image) -> Fixed:
        """The fixed part."""
        for step in self._fixed:
            image = step(image)
        return image

    def vary(self, fixed: Fixed) -> Tensor:
        """The random part, uint8 `[C, H, W]`; with erasing, normalised float32."""
        images = torch.from_numpy(self._varied(fixed))
        return images if self._erase is None else self._erase(self.normalise(images))

    def __call__(self, image: Image.Image) -> Tensor:
        """Both parts: normalised float32 `[C, H, W]`."""
        return self.normalise(self.vary(self.fixed(image)))

    def _varied(self, fixed: Fixed) -> Pixels:
        raise NotImplementedError


class PilSteps(Steps):
    """Steps on PIL images; as an array, an image is `[H, W, C]`, or `[H, W]` if it is grey."""

    def __init__(
        self,
        fixed: Sequence[PilStep],
        varied: Sequence[PilStep],
        draws: Draws,
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__(fixed, normalise, erase)
        self._steps = varied
        self.draws |= draws

    def _varied(self, fixed: Fixed) -> Pixels:
        image = fixed if isinstance(fixed, Image.Image) else Image.fromarray(fixed)
        for step in self._steps:
            image = step(image)
        return channels_first(np.asarray(image))


class ArraySteps(Steps):
    """On arrays `[C, H, W]`: at most a crop of the zero-padded image, and flips.

    Draws the same numbers as torchvision's RandomCrop, RandomHorizontalFlip and RandomVerticalFlip.

    Args:
        crop: height and width of a random crop, or None.
        padding: black pixels on each side before the crop.
        hflip: probability of a horizontal flip.
        vflip: probability of a vertical flip.
    """

    def __init__(
        self,
        fixed: Sequence[PilStep],
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None = None,
        *,
        crop: tuple[int, int] | None = None,
        padding: int = 0,
        hflip: float = 0.0,
        vflip: float = 0.0,
    ) -> None:
        super().__init__(fixed, normalise, erase)
        self._crop, self._padding = crop, padding
        # torch compares in float32
        self._hflip, self._vflip = float(np.float32(hflip)), float(np.float32(vflip))
        if crop is not None or hflip > 0 or vflip > 0:
            self.draws |= TORCH

    def fixed(self, image: Image.Image) -> Pixels:
        """`[C, H, W]`."""
        return channels_first(np.asarray(super().fixed(image)))

    def _varied(self, fixed: Fixed) -> Pixels:
        pixels = np.asarray(fixed)
        top = left = 0
        size = pixels.shape[1:]
        if self._crop is not None:
            top, left = draw_place(size, self._crop, self._padding)
            size = self._crop
        # views of the result: writing to them flips the image
        turned = result = np.empty((len(pixels), *size), np.uint8)
        if self._hflip > 0 and torch.rand(1).item() < self._hflip:
            turned = turned[:, :, ::-1]
        if self._vflip > 0 and torch.rand(1).item() < self._vflip:
            turned = turned[:, ::-1]
        _copy_window(pixels, turned, top, left)
        return result


def draw_place(size: Sequence[int], crop: tuple[int, int], padding: int) -> tuple[int, int]:
    """Top and left of a random crop in the padded image, relative to the image itself.

    Raises:
        ValueError: the padded image is smaller than the crop.
    """
    down, across = size[0] + 2 * padding - crop[0], size[1] + 2 * padding - crop[1]
    if down < 0 or across < 0:
        found = (size[0] + 2 * padding, size[1] + 2 * padding)
        raise ValueError(f"Required crop size {crop} is larger than input image size {found}")
    if down == across == 0:
        return -padding, -padding
    if down == across:  # one call with two draws gives the same as two calls
        top, left = torch.randint(0, down + 1, (2,)).tolist()
    else:
        top, left = (int(torch.randint(0, free + 1, (1,)).item()) for free in (down, across))
    return top - padding, left - padding


class PadCrop:
    """torchvision's RandomCrop of a zero-padded image, without creating the padded image."""

    def __init__(self, size: tuple[int, int], padding: int) -> None:
        self._size, self._padding = size, padding

    def __call__(self, image: Image.Image) -> Image.Image:
        """The crop; outside the image it is black."""
        top, left = draw_place((image.height, image.width), self._size, self._padding)
        height, width = self._size
        return image.crop((left, top, left + width, top + height))


def channels_first(pixels: Pixels) -> Pixels:
    """A contiguous copy of `[H, W, C]` or `[H, W]` as `[C, H, W]`."""
    return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")


def _copy_window(pixels: Pixels, result: Pixels, top: int, left: int) -> None:
    """Copy the window at (top, left); outside the image, the result stays black."""
    (_, height, width), (_, rows, columns) = pixels.shape, result.shape
    bottom, right = min(rows, height - top), min(columns, width - left)
    above, before = max(-top, 0), max(-left, 0)
    if bottom - above < rows or right - before < columns:
        result.fill(0)
    if above < bottom and before < right:
        result[:, above:bottom, before:right] = pixels[
            :, top + above : top + bottom, left + before : left + right
        ]
