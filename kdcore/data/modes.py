"""Conversion of images of any Pillow mode to 8 bits; no other module does this.

Pillow's own `convert` silently clips numbers above 255, so that a 16-bit image becomes white. Here, a mode with a known
range is scaled by that range, and a mode with an unknown range is refused.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO, _EXTRA, _UNSPECIFIED = 258, 262, 0, 338, 0  # TIFF tags, and their values
_SIXTEEN: Final = 65535
_DETOURS: Final = {
    "La": "LA",
    "RGBa": "RGBA",
    "LAB": "RGB",
    "HSV": "RGB",
}  # Pillow converts these in two steps
_REFUSED: Final = {
    "I": "32-bit integers",
    "F": "floating-point numbers",
}


class UnknownRange(ValueError):
    """The mode of an image does not define which numbers are black and white."""


def eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode "L" or "RGB", 8 bits for each value. Transparency is dropped.

    Raises:
        UnknownRange: the range of its values is unknown, or Pillow cannot convert it; the message says what to do.
    """
    top = _largest(image)
    if _UNSPECIFIED in _extra_samples(image):
        raise UnknownRange(
            "it has more than 3 channels, and data.channels is 3\n"
            "    Set data.channels to their number, or data.bands to [0, 1, 2] for the first three."
        )
    if top is not None:
        image = _scaled(image, top)
    elif image.mode in _REFUSED:
        raise UnknownRange(
            f"its pixels are {_REFUSED[image.mode]} (Pillow's mode {image.mode}{_format(image)}), "
            "for which black and white are not defined\n"
            "    data.value_range says which values they are. Or save it with 8 or 16 bits per value, with the same "
            "scale for all images, for example as PNG."
        )
    try:
        while (step := _DETOURS.get(image.mode)) is not None:
            image = image.convert(step)
        if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
            image = image.convert("RGBA")  # without this, Pillow warns
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:
        raise UnknownRange(
            f"Pillow cannot convert its mode {image.mode}{_format(image)} to {mode}: {error}\n"
            "    Save it as RGB or grey with 8 bits per value, for example as PNG."
        ) from error


def scaled(values: np.ndarray[Any, np.dtype[Any]], top: int) -> Pixels:
    """Whole numbers from 0 to `top` as 0 to 255, rounded."""
    levels: Pixels = ((values.astype(np.int64).clip(0, top) * 255 + top // 2) // top).astype(np.uint8)
    return levels


def is_deep(image: Image.Image) -> bool:
    """Whether its values have more than 8 bits, or are floating-point numbers."""
    return image.mode.startswith("I;16") or image.mode in _REFUSED


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF says that its white is 0."""
    return bool(_tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO)


def _largest(image: Image.Image) -> int | None:
    """The number for white in a mode with more than 8 bits; None if nothing is scaled or the range is unknown."""
    bits = _tag(image, _BITS)
    if image.mode.startswith("I;16"):
        known = bits[0] if isinstance(bits, tuple) and bits else bits
        # TIFF also has 12 bits, which Pillow does not scale
        return (1 << known) - 1 if isinstance(known, int) and 8 < known <= 16 else _SIXTEEN
    # Pillow opens PGM and PNG (until its version 10) of 16 bits as 32-bit integers, and scales a PGM's maxval to 65535
    return _SIXTEEN if image.mode == "I" and image.format in ("PPM", "PNG") else None


def _scaled(image: Image.Image, top: int) -> Image.Image:
    pixels = scaled(np.asarray(image), top)
    if image.mode.startswith("I;16") and white_is_zero(image):
        pixels = 255 - pixels  # Pillow inverts only those with 8 bits
    return Image.fromarray(pixels)


def _tag(image: Image.Image, number: int) -> Any:
    return getattr(image, "tag_v2", {}).get(number)


def _extra_samples(image: Image.Image) -> tuple[int, ...]:
    """What a TIFF says of its channels after the colours."""
    found = _tag(image, _EXTRA)
    return () if found is None else tuple(found) if isinstance(found, tuple) else (found,)


def _format(image: Image.Image) -> str:
    return f", {image.format}" if image.format else ""
