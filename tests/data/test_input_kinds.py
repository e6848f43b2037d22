"""docs/data.md: each row of its tables about files is what the code does."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.data.folder import open_folder
from kdcore.data.inputs import InputConfig
from kdcore.data.pixels import PixelRule
from kdcore.data.samples import KeyedSamples
from kdcore.data.source import Refused, Unreadable
from kdcore.data.transforms import eval_transform
from kdcore.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
COLOURS = np.array([[[0, 0, 0], [200, 100, 50], [255, 255, 255], [0, 0, 255]]], np.uint8)
EXIF_ROTATED = Image.Exif()
EXIF_ROTATED[0x0112] = 6


def rows(heading: str) -> list[str]:
    """The first cells of a section's table."""
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return list(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))[1:]


@pytest.fixture
def put(image_folder, tmp_path):
    """Puts a file into a class; gives the sample as the run sees it."""

    def placed(content: bytes | Image.Image, ending: str = "png", **options) -> np.ndarray:
        path = image_folder / "train" / "zoo" / f"0.{ending}"
        path.parent.mkdir(exist_ok=True)
        for other in path.parent.iterdir():
            other.unlink()
        if isinstance(content, Image.Image):
            content.save(path, **options)
        else:
            path.write_bytes(content)
        source = open_folder(image_folder, "train", where="data.train_split")
        samples = KeyedSamples(source, None, eval_transform(DATA, INPUT), 0)
        samples.read(len(source) - 1)
        return np.asarray(PixelRule()(source[len(source) - 1][0]))

    from kdcore.spec.models import DataSpec

    DATA = DataSpec()  # noqa: N806
    INPUT = InputConfig(image_size=(16, 16), mean=(0.5,), std=(0.25,))  # noqa: N806
    return placed


def rgb() -> Image.Image:
    return Image.fromarray(COLOURS)


def same(put, image, ending="png", **options):
    assert np.abs(put(image, ending, **options).astype(int) - COLOURS).max() <= 2


def plain(put):
    for ending in ("png", "bmp", "ppm", "tif", "webp"):
        same(put, rgb(), ending, **({"lossless": True} if ending == "webp" else {}))
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    assert np.abs(put(flat, "jpg", quality=95).astype(int) - [200, 100, 50]).max() <= 4


def palette(put):
    same(put, rgb().convert("P", palette=Image.Palette.ADAPTIVE))


def transparency(put):
    image = rgb()
    image.putalpha(0)
    same(put, image)
    same(put, rgb().convert("P", palette=Image.Palette.ADAPTIVE), transparency=b"\x00\x00\x00\x00")


def one_bit(put):
    assert put(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"))[0, :, 0].tolist() == [0, 255]


def grey_of_16_bits(put):
    image = Image.fromarray(np.array([[0, 25700, 65535]], np.uint16))
    for ending in ("png", "tiff"):
        assert put(image, ending)[0, :, 1].tolist() == [0, 100, 255]
    (content,) = (b"P5\n3 1\n1023\n" + np.array([0, 401, 1023], ">u2").tobytes(),)
    assert put(content, "pgm")[0, :, 1].tolist() == [0, 100, 255]


def colour_of_16_bits(put):
    same(put, b"P6\n4 1\n65535\n" + (COLOURS.astype(">u2") * 257).tobytes(), "ppm")


def white_is_zero(put):
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert put(image, "tiff", tiffinfo={262: 0})[0, :, 0].tolist() == [255, 0]


def unknown_range(put):
    for kind in (np.int32, np.float32):
        with pytest.raises(Refused, match=r"zoo/0\.tif: its pixels are .*mode [IF], TIFF") as caught:
            put(Image.fromarray(np.array([[0, 1]], kind)), "tif")
        assert caught.value.exit_code == 2
    scaled = PixelRule(value_range=(0, 2))(Image.fromarray(np.array([[0, 1, 2]], np.float32)))
    assert np.asarray(scaled)[0, :, 0].tolist() == [0, 128, 255]


def arrays(put):
    for values in (COLOURS, COLOURS[:, :, :1], COLOURS[:, :, 0]):
        file = io.BytesIO()
        np.save(file, values)
        assert (put(file.getvalue(), "npy") == values.reshape(1, 4, -1)).all()


def more_channels(put):
    with pytest.raises(Refused, match=r"zoo/0\.tif: it has more than 3 channels") as caught:
        put(Image.new("RGBX", (4, 4)), "tif")
    assert caught.value.exit_code == 2


def other_colours(put):
    same(put, rgb().convert("CMYK"), "tif")
    flat = Image.new("LAB", (4, 4), (255, 128, 128))
    assert put(flat, "tif").min() > 250


def frames(put):
    later = Image.new("RGB", (4, 1), (9, 9, 9))
    for ending in ("png", "tif", "webp"):
        options = {"lossless": True} if ending == "webp" else {}
        same(put, rgb(), ending, save_all=True, append_images=[later], **options)


def orientation(put):
    assert put(rgb(), "jpg", exif=EXIF_ROTATED).shape == (1, 4, 3)


def profile(put):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    same(put, rgb(), icc_profile=profile)


def tiny(put):
    assert put(Image.new("RGB", (1, 1))).shape == (1, 1, 3)
    assert put(Image.new("RGB", (300, 1))).shape == (1, 300, 3)


def huge(put):
    header = b"P5\n20000 10000\n255\n"
    with pytest.raises(Unreadable, match="decompression bomb"):
        put(header, "pgm")


def other_format(put):
    file = io.BytesIO()
    rgb().save(file, "GIF")
    same(put, file.getvalue(), "jpg")


def more_formats(put):
    for ending in ("dds", "sgi"):
        same(put, rgb(), ending)


def icons(put):
    assert put(Image.new("RGB", (32, 32)), "ico", sizes=[(16, 16), (32, 32)]).shape == (32, 32, 3)


IMAGES = [
    plain, more_formats, icons, palette, transparency, one_bit,
    grey_of_16_bits, colour_of_16_bits, white_is_zero, unknown_range,
    arrays, more_channels, other_colours, frames, orientation, profile, tiny, huge, other_format,
]  # fmt: skip


@pytest.mark.parametrize(("row", "check"), list(zip(rows("Images"), IMAGES, strict=True)))
def test_images(put, row, check):
    check(put)


def cut_off() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()[:2000]


CONTENT = [
    b"",
    bytes(99),
    b"<!DOCTYPE html><p>gone</p>",
    b"version https://git-lfs.github.com/spec/v1\n",
    cut_off(),
    b"\0\0\0\x18ftypheic\0\0\0\0",
]


@pytest.mark.parametrize(("number", "content"), list(enumerate(CONTENT)))
def test_files_that_are_no_images(put, number, content):
    section = PAGE.read_text("utf-8").partition("\n## Files that are not images\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| .* \| `(.*)` \|$", section, re.MULTILINE)
    assert len(told) == len(CONTENT) + 1  # and the link to nothing, which `test_broken` has
    with pytest.raises(Unreadable, match=re.escape(told[number])) as caught:
        put(content)
    assert caught.value.exit_code == 1


def test_folders(image_folder):
    """Rows that `test_walk` does not have: capital letters, links to images, other names of splits."""
    train = image_folder / "train"
    (train / "ant" / "0.png").rename(train / "ant" / "0.PNG")
    (train / "ant" / "4.png").symlink_to("../bee/0.png")
    source = open_folder(image_folder, "train", where="")
    assert len(source) == 13
    assert source[4][0].tobytes() == source[5][0].tobytes()
    assert open_folder(image_folder, "test", where="").split == "val"
    with pytest.raises(UserError, match="contains splits: choose one"):
        open_folder(image_folder, "", where="")


def test_the_page_has_a_row_for_each_kind():
    assert len(rows("Folders")) == 13
    assert len(rows("Tars and zips")) == 14
