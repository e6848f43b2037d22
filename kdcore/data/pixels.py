"""`PixelRule`: how the values in a file become the 8 bits of each channel that the rest of kd works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from PIL import Image

from kdcore.data.modes import Pixels, UnknownRange, eight_bits, is_deep, scaled, white_is_zero
from kdcore.spec.channels import channels_in_words

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.spec.models import DataSpec

Array = np.ndarray[Any, np.dtype[Any]]
Decoded = Image.Image | Array
"""An image as its file has it: Pillow's, or an array `[H, W]` or `[H, W, C]` of any number format."""

_CHANNELS: Final = ("L", "LA", "RGB", "RGBA", "RGBX")
"""Pillow's modes whose values are channels with 8 bits each; other colours become RGB."""
_SIXTEEN: Final = 65535
_SCALE: Final = "data.value_range says which values are black and white."


@dataclass(frozen=True)
class PixelRule:
    """How an image's values become 8 bits for each channel.

    Attributes:
        channels: the number of channels: 1 is grey, 3 is RGB.
        bands: the channels of the file that are read, in this order; None: all.
        value_range: the values that become black and white, for numbers with more than 8 bits; None: 0 to 65,535 for
            16-bit numbers, and others are refused.
        array_order: order of the axes in .npy files.
    """

    channels: int = 3
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    array_order: Literal["hwc", "chw"] = "hwc"

    @classmethod
    def of(cls, data: DataSpec) -> PixelRule:
        """The rule of a spec."""
        return cls(data.channels, data.bands, data.value_range, data.array_order)

    @property
    def is_picture(self) -> bool:
        """Whether images are grey or RGB, which Pillow works on; others are tensors."""
        return self.channels in (1, 3)

    @property
    def exact(self) -> bool:
        """Whether a file's own values are needed, as they are before Pillow makes a picture of them."""
        return not self.is_picture or self.bands is not None or self.value_range is not None

    def blank(self) -> Decoded:
        """A small black image that this rule takes."""
        if not self.exact:
            return Image.new("RGB", (32, 32))
        return np.zeros((32, 32, self.channels if self.bands is None else max(self.bands) + 1), np.uint8)

    def __call__(self, image: Decoded) -> Image.Image | Tensor:
        """The image with 8 bits for each channel: grey or RGB as Pillow's image, others as uint8 `[C, H, W]`.

        Raises:
            UnknownRange: it has another number of channels, or the range of its values is not known.
        """
        if isinstance(image, Image.Image):
            whole_file = self.is_picture and self.bands is None
            if whole_file and (self.value_range is None or not is_deep(image)):
                return eight_bits(image, "L" if self.channels == 1 else "RGB")
            image = _values(image)
        levels = self._chosen(self.eight_bits(image))
        if not self.is_picture:
            return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)))
        return eight_bits(
            Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels),
            "L" if self.channels == 1 else "RGB",
        )

    def picture(self, image: Decoded) -> Image.Image:
        """The image for people: as it is if it is Pillow's, otherwise its first three channels, or its first one."""
        if isinstance(image, Image.Image) and not is_deep(image):
            return image
        taken = self(image)
        return taken if isinstance(taken, Image.Image) else shown(taken.numpy())

    def _chosen(self, levels: Pixels) -> Pixels:
        found = levels.shape[2]
        if self.bands is not None:
            if max(self.bands) >= found:
                raise UnknownRange(
                    f"it has {channels_in_words(found)}, and data.bands names {max(self.bands)} (the first one is 0)"
                )
            return levels[:, :, list(self.bands)]
        if found != self.channels and not (self.is_picture and found in (1, 3)):
            hint = f"set data.channels to {found}, or choose some of them with data.bands"
            raise UnknownRange(
                f"it has {channels_in_words(found)}, and data.channels is {self.channels}\n    {hint}."
            )
        return levels

    def eight_bits(self, values: Array) -> Pixels:
        """`[H, W]` or `[H, W, C]` of any number format -> uint8 `[H, W, C]`.

        Raises:
            UnknownRange: the range of its values is not known, or some are not finite.
        """
        if values.ndim not in (2, 3) or 0 in values.shape:
            raise UnknownRange(f"it is an array of the shape {list(values.shape)}, not [H, W] or [H, W, C]")
        values = values[:, :, None] if values.ndim == 2 else values
        if values.dtype == np.bool_:
            return values.astype(np.uint8) * np.uint8(255)
        if values.dtype == np.uint8:
            return values
        if values.dtype.kind not in "iuf":
            raise UnknownRange(f"its values are {values.dtype}, not numbers of an image")
        if self.value_range is None:
            if values.dtype != np.uint16:
                message = f"its values are {values.dtype}, for which black and white are not defined"
                raise UnknownRange(f"{message}\n    {_SCALE}")
            return scaled(values, _SIXTEEN)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UnknownRange("some of its values are NaN or infinite")
        low, high = self.value_range
        share = (values.astype(np.float64) - low) / (high - low)
        levels: Pixels = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        return levels


def shown(levels: Pixels) -> Image.Image:
    """uint8 `[C, H, W]` as grey or RGB; of more channels the first three, of two the first."""
    picked = levels[:3] if len(levels) > 2 else levels[:1]
    return Image.fromarray(np.ascontiguousarray(picked[0] if len(picked) == 1 else picked.transpose(1, 2, 0)))


def size_of(image: Decoded) -> tuple[int, int]:
    """Height and width."""
    if isinstance(image, Image.Image):
        return image.height, image.width
    return image.shape[0], image.shape[1]


def mode_of(image: Decoded) -> str:
    """Pillow's mode, or the number format and channels of an array: `uint16 x 4`."""
    if isinstance(image, Image.Image):
        return image.mode
    return f"{image.dtype} x {image.shape[2] if image.ndim == 3 else 1}"


def _values(image: Image.Image) -> Array:
    """The values of Pillow's image as channels."""
    if image.mode == "1":
        image = image.convert("L")
    if is_deep(image):
        values = np.asarray(image)
        if white_is_zero(image):
            raise UnknownRange("its white is 0: save it with white as the largest value")
        return values
    return np.asarray(image if image.mode in _CHANNELS else eight_bits(image, "RGB"))
