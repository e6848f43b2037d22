"""Every ending that counts as an image: a file of that format is read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from kdcore.data.layout import IMAGES, is_image
from kdcore.data.pixels import PixelRule
from kdcore.data.source import decode

EXACT = {
    ".apng",
    ".bmp",
    ".dib",
    ".j2k",
    ".jp2",
    ".npy",
    ".pcx",
    ".png",
    ".ppm",
    ".pnm",
    ".qoi",
    ".tga",
    ".tif",
    ".tiff",
}
"""Formats without loss."""


@pytest.mark.parametrize("ending", IMAGES)
def test_each_ending(ending):
    if ending == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    mode = {".pbm": "1", ".pgm": "L"}.get(ending, "RGB")
    image = Image.new(mode, (24, 16), {"1": 1, "L": 200}.get(mode, (250, 120, 10)))
    Image.init()
    buffer = io.BytesIO()
    if ending == ".npy":
        np.save(buffer, np.asarray(image))
    else:
        image.save(buffer, {".apng": "PNG"}.get(ending) or Image.registered_extensions()[ending])
    found = PixelRule()(decode(buffer.getvalue(), f"a{ending}", 0))
    assert is_image(f"a{ending.upper()}")
    expected, pixels = np.asarray(image.convert("RGB"), int), np.asarray(found, int)
    assert pixels.shape == expected.shape
    assert abs(pixels - expected).max() <= (0 if ending in EXACT else 16)
