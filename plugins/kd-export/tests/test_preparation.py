"""Images of many number formats: an export and its script prepare them as the run does, or refuse them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from kd_export import export
from PIL import Image

from kdcore.data.pixels import PixelRule
from kdcore.data.source import decode
from kdcore.data.transforms import eval_transform
from kdcore.inspect import import_export_script, open_export, open_run_student

pytest.importorskip("tifffile", reason="a run reads the channels of TIFF files with it")

DEEP = np.random.default_rng(1).integers(0, 65536, (16, 16), dtype=np.uint16)
LEVELS = np.random.default_rng(2).integers(0, 256, (16, 16, 4), dtype=np.uint8)


def picture(values, kind, **options):
    content = io.BytesIO()
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(content, kind, **options)
    return content.getvalue()


def npy(values):
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def tiff(values, **options):
    import tifffile

    content = io.BytesIO()
    tifffile.imwrite(content, values, **options)
    return content.getvalue()


def tiff_12_bits():
    """One row: 0, 4095."""
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + value.to_bytes(4, "little") for tag, value in tags
    )
    return b"II*\0\x0b\0\0\0\x00\x0f\xff" + len(tags).to_bytes(2, "little") + entries + bytes(4)


def pgm():
    return b"P5\n16 16\n65535\n" + DEEP.astype(">u2").tobytes()


def white_is_zero():
    return picture(DEEP, "TIFF", tiffinfo={262: 0})


# the data of a spec; files that the script reads; files that it refuses, with a part of its message
CASES = {
    "pictures": (
        {},
        {
            "12-bits.tif": tiff_12_bits,
            "white-is-zero.tif": white_is_zero,
            "16-bits.pgm": pgm,
            "16-bits.png": lambda: picture(DEEP, "PNG"),
            "palette.png": lambda: picture(Image.fromarray(LEVELS[..., :3]).convert("P"), "PNG"),
        },
        {
            "integers.tif": (lambda: picture(DEEP.astype(np.int32), "TIFF"), "Pillow's mode I:"),
            "floats.tif": (lambda: picture(DEEP.astype(np.float32), "TIFF"), "Pillow's mode F:"),
            "more.tif": (
                lambda: tiff(LEVELS, photometric="rgb", extrasamples=["unspecified"]),
                "more channels than RGB",
            ),
            "rgb.npy": (lambda: npy(LEVELS[..., :3]), "cannot identify image file"),
            "16-bits.npy": (lambda: npy(DEEP), "cannot identify image file"),
        },
    ),
    "pictures with a range": (
        {"channels": 1, "value_range": [100, 3000]},
        {
            "16-bits.tif": lambda: picture(DEEP // 16, "TIFF"),
            "floats.tif": lambda: picture((DEEP / 16).astype(np.float32), "TIFF"),
            "grey.png": lambda: picture(LEVELS[..., 0], "PNG"),
        },
        {
            "white-is-zero.tif": (white_is_zero, "its white is 0"),
            "16-bits.pgm": (pgm, "a PGM of more than 8 bits"),
        },
    ),
    "bands of pictures": (
        {"bands": [2, 0, 1]},
        {
            "rgb.png": lambda: picture(LEVELS[..., :3], "PNG"),
            "rgb.npy": lambda: npy(LEVELS),
            "16-bits.npy": lambda: npy(np.stack([DEEP, DEEP // 2, DEEP // 3], 2)),
        },
        {
            "16-bits.tif": (
                lambda: tiff(np.stack([DEEP] * 3, 2), photometric="rgb"),
                "does not read its channels",
            ),
            "grey.png": (lambda: picture(LEVELS[..., 0], "PNG"), "it has 1 channels, and the student takes"),
            "floats.npy": (lambda: npy(LEVELS.astype(np.float32)), "its values are float32"),
        },
    ),
    "one band": ({"bands": [1]}, {"rgb.png": lambda: picture(LEVELS[..., :3], "PNG")}, {}),
    "arrays": (
        {"channels": 4, "value_range": [0, 4000], "array_order": "chw"},
        {
            "16-bits.npy": lambda: npy(np.stack([DEEP // shift for shift in (16, 20, 30, 90)])),
            "floats.npy": lambda: npy(LEVELS.transpose(2, 0, 1) * np.float32(11.5)),
            "rgba.png": lambda: picture(LEVELS, "PNG"),
        },
        {
            "nan.npy": (lambda: npy(np.full((4, 16, 16), np.nan, np.float32)), "not finite"),
            "three.npy": (lambda: npy(LEVELS.transpose(2, 0, 1)[:3]), "it has 3 channels"),
        },
    ),
    "bands of arrays": (
        {"bands": [3, 1]},
        {"rgba.png": lambda: picture(LEVELS, "PNG"), "16-bits.npy": lambda: npy(np.stack([DEEP] * 4, 2))},
        {"row.npy": (lambda: npy(LEVELS[0, 0]), "its shape is (4,)")},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_export_prepares_images_as_the_run_does(make_run, tmp_path, name):
    data, read, refused = CASES[name]
    run = make_run("x", {"model": "resnet10t", "options": {"channels": [4, 4, 4, 4]}}, data=data)
    path = export(run, "torch", samples=0).path
    student, script, exported = open_run_student(run), import_export_script(path), open_export(path)
    rule, steps = PixelRule.of(student.spec.data), eval_transform(student.spec.data, student.input)
    files = {file: content() for file, content in read.items()}
    files |= {file: content() for file, (content, _) in refused.items()}
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    for file in read:
        wanted = steps(decode(files[file], file, 0, rule)).numpy()
        np.testing.assert_array_equal(script.read(str(tmp_path / file)), wanted, err_msg=file)
    for file, (_, message) in refused.items():
        with pytest.raises(SystemExit) as caught:
            script.read(str(tmp_path / file))
        assert message in str(caught.value)
    paths = [tmp_path / file for file in files]
    (own,), (other,) = (one.predictor().batches(paths) for one in (student, exported))
    assert other.position == own.position
    assert other.broken == own.broken
    np.testing.assert_allclose(other.outputs.logits, own.outputs.logits, atol=1e-5)
