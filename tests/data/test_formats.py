"""Every ending that counts as an image: a file of that format is read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from kdcore.data.layout import IMAGES, is_image
from kdcore.data.pixels import PixelRule
from kdcore.data.source import decode

EXACT = {
    ".apng",
    ".bmp",
    ".bw",
    ".dds",
    ".dib",
    ".icb",
    ".icns",
    ".ico",
    ".j2c",
    ".j2k",
    ".jp2",
    ".jpc",
    ".jpf",
    ".jpx",
    ".msp",
    ".npy",
    ".pcx",
    ".png",
    ".ppm",
    ".pnm",
    ".qoi",
    ".ras",
    ".rgb",
    ".rgba",
    ".sgi",
    ".tga",
    ".tif",
    ".tiff",
    ".vda",
    ".vst",
    ".xbm",
    ".xpm",
}
"""Formats without loss."""


MODES = {".pbm": "1", ".pgm": "L", ".xbm": "1", ".msp": "1", ".pfm": "F", ".bw": "L", ".rgba": "RGBA"}
COLOURS = {"1": 1, "L": 200, "F": 0.5, "RGBA": (250, 120, 10, 255)}
OPTIONS = {".ico": {"sizes": [(24, 16)]}, ".j2c": {"no_jp2": True}, ".jpc": {"no_jp2": True}}


def written(ending, image):
    """A file of this format, by Pillow if it writes it."""
    buffer = io.BytesIO()
    if ending == ".npy":
        np.save(buffer, np.asarray(image))
    elif ending == ".icns":
        image.save(buffer, "PNG")
        content = buffer.getvalue()
        return b"icns" + struct.pack(">I4sI", 16 + len(content), b"ic07", 8 + len(content)) + content
    elif ending == ".ras":
        pixels = np.asarray(image)[:, :, ::-1].tobytes()
        return struct.pack(">8I", 0x59A66A95, *image.size, 24, len(pixels), 1, 0, 0) + pixels
    elif ending == ".xpm":
        rows = ",\n".join(['"' + "a" * image.width + '"'] * image.height)
        text = f'/* XPM */\nstatic char *a[] = {{\n"{image.width} {image.height} 1 1",\n"a c #fa780a",\n{rows}}};\n'
        return text.encode()
    else:
        kind = {".apng": "PNG"}.get(ending) or Image.registered_extensions()[ending]
        image.save(buffer, kind, **OPTIONS.get(ending, {}))
    return buffer.getvalue()


@pytest.mark.parametrize("ending", IMAGES)
def test_each_ending(ending):
    if ending in (".avif", ".avifs") and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    Image.init()
    mode = MODES.get(ending, "RGB")
    size = (128, 128) if ending == ".icns" else (24, 16)
    image = Image.new(mode, size, COLOURS.get(mode, (250, 120, 10)))
    rule = PixelRule(value_range=(0, 1)) if mode == "F" else PixelRule()
    found = rule(decode(written(ending, image), f"a{ending}", 0, rule))
    assert is_image(f"a{ending.upper()}")
    expected = np.full((*size[::-1], 3), 128) if mode == "F" else np.asarray(image.convert("RGB"), int)
    pixels = np.asarray(found, int)
    assert pixels.shape == expected.shape
    assert abs(pixels - expected).max() <= (0 if ending in EXACT else 16)


def test_what_pillow_knows_and_kd_leaves_out():
    """The page names every such ending, or another one of its format."""
    Image.init()
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    kinds = Image.registered_extensions()
    named = {kind for ending, kind in kinds.items() if f"`{ending}`" in page}
    assert {ending for ending, kind in kinds.items() if ending not in IMAGES and kind not in named} == set()
