"""Images of every Pillow mode come out with the brightness that they have, or are refused by name."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from kdcore.data.folder import open_folder
from kdcore.data.modes import UnknownRange, eight_bits
from kdcore.data.registered import WrappedSource
from kdcore.data.samples import KeyedSamples, SampleFailure
from kdcore.data.source import Refused
from kdcore.data.stream import StreamBatches
from kdcore.data.tar import open_tar
from kdcore.data.train import build_train_data
from kdcore.data.transforms import eval_transform

LEVELS = [0, 1000, 30000, 65535]
EXPECTED = [0, 4, 117, 255]


def file(image, kind, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def sixteen() -> Image.Image:
    return Image.fromarray(np.array([LEVELS] * 2, np.uint16))


def pgm(top, values, plain=False) -> bytes:
    if plain:
        return f"P2\n{len(values)} 1\n{top}\n{' '.join(map(str, values))}\n".encode()
    return b"P5\n%d 1\n%d\n" % (len(values), top) + np.array(values, ">u2").tobytes()


def tiff_12_bits(values) -> bytes:
    """One row of an even number of values; Pillow reads such files, and writes none."""
    packed = b"".join(
        bytes([one >> 4, (one & 15) << 4 | two >> 8, two & 255])
        for one, two in zip(values[::2], values[1::2], strict=True)
    )
    tags = [(256, len(values)), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    tags.append((279, len(packed)))
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little") for tag, value in tags
    )
    place = (8 + len(packed)).to_bytes(4, "little")
    return b"II*\0" + place + packed + len(tags).to_bytes(2, "little") + entries + bytes(4)


SCALED = {
    "png": lambda: (file(sixteen(), "PNG"), EXPECTED),
    "tiff": lambda: (file(sixteen(), "TIFF"), EXPECTED),
    "tiff, big-endian": lambda: (
        file(Image.frombytes("I;16B", (4, 1), np.array(LEVELS, ">u2").tobytes()), "TIFF"),
        EXPECTED,
    ),
    "tiff, white is zero": lambda: (
        file(sixteen(), "TIFF", tiffinfo={262: 0}),
        [255 - level for level in EXPECTED],
    ),
    "tiff, 12 bits": lambda: (tiff_12_bits([0, 1000, 2048, 4095]), [0, 62, 128, 255]),
    "pgm": lambda: (pgm(65535, LEVELS), EXPECTED),
    "pgm, 10 bits": lambda: (pgm(1023, [0, 100, 512, 1023]), [0, 25, 128, 255]),
    "pgm, as text": lambda: (pgm(4095, [0, 100, 2048, 4095], plain=True), [0, 6, 128, 255]),
    "pgm, 8 bits": lambda: (b"P5\n4 1\n255\n\x00\x04\x75\xff", [0, 4, 117, 255]),
    "ppm, 16 bits": lambda: (
        b"P6\n4 1\n65535\n" + np.repeat(np.array(LEVELS, ">u2"), 3).tobytes(),
        EXPECTED,
    ),
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", SCALED)
def test_more_than_8_bits_are_scaled_by_their_range(name, mode):
    content, expected = SCALED[name]()
    converted = eight_bits(Image.open(io.BytesIO(content)), mode)
    assert converted.mode == mode
    assert np.asarray(converted.convert("L"))[0].tolist() == expected


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_every_16_bit_mode_of_arrays(mode):
    kind = {"I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
    image = Image.frombytes(mode, (4, 1), np.array(LEVELS, kind).tobytes())
    assert np.asarray(eight_bits(image, "L"))[0].tolist() == EXPECTED


REFUSED = {
    "tiff, int32": (lambda: file(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF"), "I, TIFF"),
    "tiff, float": (lambda: file(Image.fromarray(np.array([[0.0, 1.0]], np.float32)), "TIFF"), "F, TIFF"),
    "pfm": (lambda: b"Pf\n2 1\n-1.0\n" + np.array([0.5, 1], "<f4").tobytes(), "F, PPM"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_range_is_refused_by_mode_and_file_type(name):
    content, told = REFUSED[name]
    with pytest.raises(
        UnknownRange, match=rf"Pillow's mode {told}\).*\n.*data.value_range.*save it with 8 or 16 bits"
    ):
        eight_bits(Image.open(io.BytesIO(content())), "RGB")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "kind",
    ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"],
)
def test_every_mode_of_8_bits_keeps_black_and_white(kind, mode):
    for level in (0, 255):
        image = Image.new("RGB", (3, 2), (level,) * 3)
        if kind == "LAB":
            image = Image.new("LAB", (3, 2), (level, 128, 128))
        elif kind in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[kind]).convert(kind)
        elif kind == "PA":
            image = image.convert("P").convert("PA")
        else:
            image = image.convert(kind)
        converted = eight_bits(image, mode)
        assert converted.mode == mode
        assert abs(int(np.asarray(converted).mean()) - level) <= 1


def test_transparency_is_dropped_in_palettes_too(recwarn):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putpixel((1, 0), 1)
    converted = eight_bits(Image.open(io.BytesIO(file(image, "PNG", transparency=b"\x00\x80"))), "RGB")
    assert np.asarray(converted).tolist() == [[[0, 0, 0], [200, 100, 50]]]
    assert not recwarn.list


class Floats:
    """A plugin's dataset whose second image is of floating-point numbers."""

    targets = (0, 1, 0)
    fixed = True

    def __len__(self):
        return 3

    def __getitem__(self, index):
        pixels = np.full((8, 8), 40000 if index == 0 else 1, np.float32 if index == 1 else np.uint16)
        return Image.fromarray(pixels), index % 2


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_plugins(make_data, small_input, channels):
    data = make_data(channels=channels)
    samples = KeyedSamples(WrappedSource(Floats(), "mine", 2), None, eval_transform(data, small_input), 0)
    assert int(samples[(0, 0)][0].max()) == 156  # 40000 / 257
    failure = samples[(0, 1)]
    assert isinstance(failure, SampleFailure)
    assert failure.message.startswith("image 1 cannot be used: mine[1]: its pixels are floating-point")
    assert isinstance(failure.error(), Refused)
    assert failure.error().exit_code == 2


def test_images_of_streams(make_data, small_input):
    steps = eval_transform(make_data(), small_input)
    images = [Image.fromarray(np.full((20, 20), 40000, np.uint16)), Image.new("F", (20, 20))]
    stream = StreamBatches([(one, 0) for one in images], "wds/x", 1, steps, 1, None, (0,), cycle=False)
    first, second = stream
    assert int(first[0].max()) == 156
    assert second.refused
    assert second.message.startswith("sample 1 of wds/x cannot be used: its pixels are floating-point")


@pytest.mark.parametrize("packed", [False, True])
def test_a_refused_file_is_named_or_skipped(image_folder, tmp_path, make_data, small_input, packed):
    Image.new("F", (8, 8)).save(image_folder / "train" / "bee" / "1.tiff")
    source = open_folder(image_folder, "train", where="")
    if packed:
        path = tmp_path / "images.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(image_folder, arcname=".")
        source = open_tar(path, "train", where="", dataset_where="")
    arguments = {"batch_size": 13, "seed": 0, "num_classes": 3}
    with pytest.raises(Refused, match=r"image 6 cannot be used: .*bee/1\.tiff: .*mode F, TIFF"):
        list(build_train_data(source, make_data(workers=0), small_input, **arguments).epoch(0))
    data = build_train_data(source, make_data(workers=0, skip_broken=True), small_input, **arguments)
    assert [batch.broken for batch in data.epoch(0)] == [(6,)]
