"""How an image of any Pillow mode becomes 8 bits: the only place that decides it.

Pillow's own `convert` clips numbers above 255 without a word, so that a 16-bit image comes out white. Here a mode whose
range is known is scaled by that range, and a mode whose range is not known is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from kdcore.data.steps import Pixels

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF
_SIXTEEN: Final = 65535
_DETOURS: Final = {
    "La": "LA",
    "RGBa": "RGBA",
    "LAB": "RGB",
    "HSV": "RGB",
}  # what Pillow converts in two steps
_REFUSED: Final = {
    "I": "32-bit integers",
    "F": "floating-point numbers",
}


class UnknownRange(ValueError):
    """An image's mode does not say which numbers are black and white."""


def eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode "L" or "RGB", 8 bits for each value. Transparency is dropped.

    Raises:
        UnknownRange: the range of its values is not known, or Pillow cannot convert it; says what to do.
    """
    top = _largest(image)
    if top is not None:
        image = _scaled(image, top)
    elif image.mode in _REFUSED:
        raise UnknownRange(
            f"its pixels are {_REFUSED[image.mode]} (Pillow's mode {image.mode}{_format(image)}), "
            "and nothing says which of them are black and white\n"
            "    Save it with 8 or 16 bits for each value, scaled alike for all images, for example as PNG."
        )
    try:
        while (step := _DETOURS.get(image.mode)) is not None:
            image = image.convert(step)
        if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
            image = image.convert("RGBA")  # Pillow warns where this is left out
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:
        raise UnknownRange(
            f"Pillow cannot convert its mode {image.mode}{_format(image)} to {mode}: {error}\n"
            "    Save it as RGB or grey with 8 bits for each value, for example as PNG."
        ) from error


def _largest(image: Image.Image) -> int | None:
    """White, of a mode that has more than 8 bits; None where nothing is scaled or the range is not known."""
    bits = _tag(image, _BITS)
    if image.mode.startswith("I;16"):
        known = bits[0] if isinstance(bits, tuple) and bits else bits
        # TIFF also has 12 bits, which Pillow does not scale
        return (1 << known) - 1 if isinstance(known, int) and 8 < known <= 16 else _SIXTEEN
    # Pillow opens PGM and PNG (until its version 10) of 16 bits as 32-bit integers, and scales a PGM's maxval to 65535
    return _SIXTEEN if image.mode == "I" and image.format in ("PPM", "PNG") else None


def _scaled(image: Image.Image, top: int) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    pixels: Pixels = ((values.clip(0, top) * 255 + top // 2) // top).astype(np.uint8)
    if image.mode.startswith("I;16") and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels  # Pillow inverts those of 8 bits only
    return Image.fromarray(pixels)


def _tag(image: Image.Image, number: int) -> Any:
    return getattr(image, "tag_v2", {}).get(number)


def _format(image: Image.Image) -> str:
    return f", {image.format}" if image.format else ""
