"""The steps for an image before it is normalised: a fixed part, and a random part.

The result of the fixed part can be kept in memory. If the random part only crops and flips, it works on arrays, which
takes a tenth of the time of PIL images; the pixels are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kdcore.data.keyed_randomness import PYTHON, TORCH
from kdcore.data.modes import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kdcore.data.keyed_randomness import Draws
    from kdcore.data.normalise import Normalise
    from kdcore.data.pixels import Decoded, PixelRule

    Step = Callable[[Any], Any]

Fixed = Image.Image | Tensor | Pixels
"""The result of the fixed part; the random part also accepts it as an array."""


class Steps:
    """Image -> `[C, H, W]`: `vary(fixed(image))`, then `normalise`, unless erasing is on, which includes it.

    Args:
        rule: how the image's values become 8 bits: the first step of the fixed part.
        fixed: the other steps that depend only on the image.
        normalise: the normalisation of a whole batch.
        erase: erases parts of a normalised image, in place; draws from Python's generator.

    Attributes:
        draws: the generators that `vary` draws from.
    """

    draws: Draws

    def __init__(
        self,
        rule: PixelRule,
        fixed: Sequence[Step],
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.rule, self._fixed, self.normalise, self._erase = rule, fixed, normalise, erase
        self.draws = frozenset() if erase is None else PYTHON

    def of_view(self, view: int) -> Steps:
        """The steps of one of several views; here those of all."""
        return self

    def fixed(self, image: Decoded) -> Fixed:
        """The fixed part; raises UnknownRange for an image that the rule does not take."""
        fixed: Fixed = self.rule(image)
        for step in self._fixed:
            fixed = step(fixed)
        return fixed

    def vary(self, fixed: Fixed) -> Tensor:
        """The random part, uint8 `[C, H, W]`; with erasing, normalised float32."""
        images = torch.from_numpy(self._varied(fixed))
        return images if self._erase is None else self._erase(self.normalise(images))

    def __call__(self, image: Decoded) -> Tensor:
        """Both parts: normalised float32 `[C, H, W]`."""
        return self.normalise(self.vary(self.fixed(image)))

    def _varied(self, fixed: Fixed) -> Pixels:
        raise NotImplementedError


class ImageSteps(Steps):
    """Steps on PIL images, or on tensors `[C, H, W]` for images that are neither grey nor RGB.

    As an array, a PIL image is `[H, W, C]`, or `[H, W]` if it is grey.
    """

    def __init__(
        self,
        rule: PixelRule,
        fixed: Sequence[Step],
        varied: Sequence[Step],
        draws: Draws,
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__(rule, fixed, normalise, erase)
        self._steps = varied
        self.draws |= draws

    def _varied(self, fixed: Fixed) -> Pixels:
        image = fixed
        if isinstance(fixed, np.ndarray):  # from memory, which must not be written to
            image = Image.fromarray(fixed) if self.rule.is_picture else torch.from_numpy(fixed.copy())
        for step in self._steps:
            image = step(image)
        return channels_first(image)


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
        rule: PixelRule,
        fixed: Sequence[Step],
        normalise: Normalise,
        erase: Callable[[Tensor], Tensor] | None = None,
        *,
        crop: tuple[int, int] | None = None,
        padding: int = 0,
        hflip: float = 0.0,
        vflip: float = 0.0,
    ) -> None:
        super().__init__(rule, fixed, normalise, erase)
        self._crop, self._padding = crop, padding
        self._hflip, self._vflip = as_compared(hflip), as_compared(vflip)
        if crop is not None or hflip > 0 or vflip > 0:
            self.draws |= TORCH

    def fixed(self, image: Decoded) -> Pixels:
        """`[C, H, W]`."""
        return channels_first(super().fixed(image))

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


def as_compared(probability: float) -> float:
    """A probability as torchvision's flips compare it with a draw: in float32."""
    return float(np.float32(probability))


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

    def __call__(self, image: Any) -> Any:
        """The crop; outside the image it is black."""
        height, width = self._size
        if isinstance(image, Tensor):
            rows, columns = image.shape[-2:]
            top, left = draw_place((rows, columns), self._size, self._padding)
            above, before = max(-top, 0), max(-left, 0)
            below, behind = max(top + height - rows, 0), max(left + width - columns, 0)
            padded = torch.nn.functional.pad(image, (before, behind, above, below))
            return padded[..., top + above : top + above + height, left + before : left + before + width]
        top, left = draw_place((image.height, image.width), self._size, self._padding)
        return image.crop((left, top, left + width, top + height))


def channels_first(image: Fixed) -> Pixels:
    """`[C, H, W]`, contiguous, of a tensor of this shape; a copy of an image `[H, W, C]` or `[H, W]`."""
    if isinstance(image, Tensor):
        return np.ascontiguousarray(image.numpy())
    pixels = np.asarray(image)
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
