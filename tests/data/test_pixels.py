"""Images of any number of channels and any number format: how their values become 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.data import open_split
from kdcore.data.modes import UnknownRange
from kdcore.data.pixels import PixelRule, mode_of, size_of
from kdcore.data.source import Refused, Unreadable, decode
from kdcore.plugins import get_plugins

RANDOM = np.random.default_rng(0)


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def tiff(values, **options):
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def read(data, rule):
    found = rule(decode(data, "here.file", 4, rule))
    return found.numpy().transpose(1, 2, 0) if isinstance(found, torch.Tensor) else np.asarray(found)


@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_bytes_stay_as_they_are(channels):
    values = RANDOM.integers(0, 256, (6, 9, channels), dtype=np.uint8)
    assert (read(npy(values), PixelRule(channels)) == values).all()
    assert (read(npy(values.transpose(2, 0, 1)), PixelRule(channels, array_order="chw")) == values).all()


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1)])
def test_grey_arrays(shape):
    values = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    flat = values.reshape(6, 9)
    assert (read(npy(values), PixelRule(1)) == flat).all()
    assert (read(npy(values), PixelRule(3)) == flat[:, :, None]).all()


def test_rgb_arrays_are_pillows_images():
    values = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    assert (read(npy(values), PixelRule(3)) == values).all()
    assert (read(npy(values), PixelRule(1)) == np.asarray(Image.fromarray(values).convert("L"))).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "layout",
    [
        {"photometric": "minisblack", "planarconfig": "contig"},
        {"photometric": "minisblack", "planarconfig": "separate"},
        {"photometric": "rgb"},
        {"photometric": "minisblack"},  # a page for each channel
        {"photometric": "rgb", "compression": "zlib"},
    ],
)
@pytest.mark.parametrize("channels", [4, 5])
def test_tiffs(dtype, layout, channels):
    values = RANDOM.integers(0, 2**16, (20, 30, channels)).astype(dtype)
    first = layout.get("planarconfig") == "separate" or layout == {"photometric": "minisblack"}
    data = tiff(values.transpose(2, 0, 1) if first else values, **layout)
    wanted = values if dtype == np.uint8 else np.floor(values * (255 / 65535) + 0.5).astype(np.uint8)
    assert (read(data, PixelRule(channels)) == wanted).all()
    chosen = read(data, PixelRule(2, bands=(3, 0)))
    assert (chosen == wanted[:, :, [3, 0]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint32, np.uint16, np.int16])
def test_a_range_scales_any_numbers(dtype):
    values = (
        RANDOM.uniform(-200, 1200, (6, 9, 4)).clip(0 if np.dtype(dtype).kind == "u" else None).astype(dtype)
    )
    wanted = np.rint((values.astype(np.float64) - 100) / 900 * 255).clip(0, 255)
    assert (read(npy(values), PixelRule(4, value_range=(100, 1000))) == wanted).all()


def test_a_range_for_pillows_deep_images():
    values = RANDOM.integers(0, 4096, (6, 9)).astype(np.uint16)
    wanted = np.rint(values / 4095 * 255)
    rule = PixelRule(1, value_range=(0, 4095))
    assert (read(png(Image.fromarray(values)), rule) == wanted).all()
    assert (np.asarray(rule(Image.fromarray(values.astype(np.float32)))) == wanted).all()
    picture = Image.fromarray(RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    assert (
        read(png(picture), PixelRule(3, value_range=(0, 4095))) == np.asarray(picture)
    ).all()  # 8 bits stay


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_tiffs_in_colour(dtype):
    values = RANDOM.integers(0, 4096, (20, 30, 3)).astype(dtype)
    wanted = np.rint(values.astype(np.float64) / 4095 * 255)
    data = tiff(values, photometric="rgb")
    assert (read(data, PixelRule(3, value_range=(0, 4095))) == wanted).all()
    if dtype == np.float32:
        with pytest.raises(
            UnknownRange, match=r"float32, for which black and white are not defined\n.*value_range"
        ):
            read(data, PixelRule(3))


def test_a_tiff_whose_white_is_zero():
    values = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)
    data = tiff(values, photometric="miniswhite")
    assert (read(data, PixelRule(3, value_range=(0, 1))) == 255 - values[:, :, None]).all()


def test_alpha_is_a_channel_only_if_four_are_wanted():
    image = Image.fromarray(RANDOM.integers(0, 256, (6, 9, 4), dtype=np.uint8), "RGBA")
    assert (read(png(image), PixelRule(4)) == np.asarray(image)).all()
    assert (read(png(image), PixelRule(3)) == np.asarray(image)[:, :, :3]).all()


def test_palettes_are_colours():
    image = Image.fromarray(RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)).convert("P")
    assert (read(png(image), PixelRule(1, bands=(2,))) == np.asarray(image.convert("RGB"))[:, :, 2]).all()


@pytest.mark.parametrize(
    ("values", "rule", "message"),
    [
        (np.zeros((6, 9, 4), np.uint8), PixelRule(3), "it has 4 channels, and data.channels is 3"),
        (np.zeros((6, 9), np.uint8), PixelRule(4), "it has 1 channel, and data.channels is 4"),
        (
            np.zeros((6, 9, 2), np.uint8),
            PixelRule(1, bands=(2,)),
            "it has 2 channels, and data.bands names 2",
        ),
        (np.zeros((6, 9, 4), np.float32), PixelRule(4), "its values are float32, for which black and white"),
        (np.full((6, 9), np.nan), PixelRule(1, value_range=(0, 1)), "some of its values are NaN or infinite"),
        (np.zeros((6, 9), np.complex64), PixelRule(1, value_range=(0, 1)), "its values are complex64"),
        (np.zeros(6, np.uint8), PixelRule(1), r"an array of the shape \[6\]"),
        (np.zeros((0, 9), np.uint8), PixelRule(1), r"an array of the shape \[0, 9, 1\]|\[0, 9\]"),
        (np.array([[{}]]), PixelRule(1), "its array holds Python objects, which are not read"),
    ],
)
def test_arrays_that_do_not_fit(values, rule, message):
    with pytest.raises((UnknownRange, Refused), match=message):
        read(npy(values), rule)


def test_a_damaged_array_names_its_file():
    with pytest.raises(Unreadable, match=r"image 4 cannot be read: here\.file"):
        decode(npy(np.zeros((6, 9), np.uint8))[:-9], "here.file", 4)


def test_a_stack_in_time_and_depth_is_not_an_image():
    with pytest.raises(Refused, match=r"here.file: its axes are .* one axis of channels at most"):
        decode(
            tiff(np.zeros((2, 3, 20, 30), np.uint8), photometric="minisblack", metadata={"axes": "TZYX"}),
            "here.file",
            4,
            PixelRule(6),
        )


def test_a_fourth_band_is_not_dropped_in_silence():
    values = RANDOM.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    data = tiff(values, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(UnknownRange, match=r"more than 3 channels.*\n.*data.bands to \[0, 1, 2\]"):
        read(data, PixelRule())
    assert (read(data, PixelRule(3, bands=(0, 1, 2))) == values[:, :, :3]).all()


def test_without_tifffile_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(Refused, match=r"needs tifffile, which is missing\n.*install.*tiff"):
        decode(b"II*\0" + bytes(20), "here.file", 4, PixelRule(4))


@pytest.mark.parametrize("head", [b"P6 1 1 65535\n", b"P6\n# a comment\n1 1\n1023\n", b"P5 1 1 1023\n"])
def test_what_pillow_scales_has_no_range(head):
    with pytest.raises(Refused, match="Pillow scales its values"):
        decode(head + bytes(6), "here.file", 4, PixelRule(3, value_range=(0, 9)))


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_pillow_scales_deep_pngs_unless_they_are_grey_alone(colour):
    def part(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    values = struct.pack(">4H", 4095, 4095, 4095, 65535)[: 2 * {2: 3, 4: 2, 6: 4}[colour]]
    head = part(b"IHDR", struct.pack(">2I5B", 1, 1, 16, colour, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" + values)) + part(b"IEND", b"")
    assert Image.open(io.BytesIO(data)).getpixel((0, 0))[0] == 4095 >> 8  # 8 bits
    with pytest.raises(Refused, match="Pillow scales its values"):
        decode(data, "here.file", 4, PixelRule(1, value_range=(0, 4095)))


def test_pictures_for_people():
    assert PixelRule(5).picture(np.zeros((6, 9, 5), np.uint8)).mode == "RGB"
    assert PixelRule(2).picture(np.zeros((6, 9, 2), np.uint8)).mode == "L"
    values = np.zeros((6, 9, 5), np.uint16)
    assert (mode_of(values), size_of(values)) == ("uint16 x 5", (6, 9))


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_every_source_reads_arrays(tmp_path, kind, make_data):
    import tarfile
    import zipfile

    values = RANDOM.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    folder = tmp_path / "data" / "train" / "cat"
    folder.mkdir(parents=True)
    np.save(folder / "one.npy", values)
    path = tmp_path / "data"
    if kind == "tar":
        path = tmp_path / "data.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "data", "data")
    if kind == "zip":
        path = tmp_path / "data.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / "one.npy", "train/cat/one.npy")
    source = open_split(
        make_data(dataset=str(path), channels=4), "train", plugins=get_plugins(), where="data.train_split"
    )
    assert (source[0][0] == values).all()
    assert b"uint8 x 4" not in source.content(0)  # the file's own bytes
