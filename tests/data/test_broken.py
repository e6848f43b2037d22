"""What is said of files that should be images and are something else."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

from kdcore.data.broken import reason
from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.source import decode
from kdcore.errors import RunFailed

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def image(kind: str) -> bytes:
    content = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


CONTENT = {
    "the file is empty": b"",
    "the file holds only zero bytes": bytes(4096),
    "the file is an HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404</body></html>",
    "an HTML page": b"<!-- sorry --><html>not here</html>",
    "the file is an SVG drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "the file is an XML document": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    r"the file is a Git LFS pointer.*'git lfs pull'": LFS,
    r"the file is text, not an image; it begins with 'Zu viele": "Zu viele Anfragen für heute".encode(),
    "the file is a gzip archive": gzip.compress(b"image"),
    "the file is a HEIC image.*convert it": b"\0\0\0\x18ftypheic" + bytes(50) + b"\x01",
    "begins as a JPEG image, but it is truncated": image("JPEG")[:20],
    r"the file is truncated \(": image("JPEG")[:2000],
    r"(?i)the file .*truncated": image("PNG")[:3000],
    r"content as an image \(it begins with 01 02": b"\x01\x02\x03\xff",
    "begins as a TIFF image": b"II*\0" + struct.pack("<I", 8) + bytes(8),
}


@pytest.mark.parametrize("told", CONTENT)
def test_what_the_file_is(told):
    with pytest.raises(RunFailed, match=r"^image 7 cannot be read: a/b\.png: ") as caught:
        decode(CONTENT[told], "a/b.png", 7)
    assert caught.match(told)
    assert caught.match(r"\n    data\.skip_broken: true skips images")
    assert "BytesIO" not in str(caught.value)


def test_no_hint_of_memory_addresses_or_python():
    error = OSError("cannot identify image file <_io.BytesIO object at 0x7f0011223344>")
    assert reason(error, image("BMP")[2:]).startswith(
        "Pillow does not recognise the file's content as an image"
    )
    assert reason(error) == "cannot identify image file"
    assert reason(ValueError()) == "ValueError"


def test_a_whole_image_with_another_fault_keeps_pillows_words():
    data = image("PNG")
    assert reason(OSError("unsupported compression"), data) == "unsupported compression"


@pytest.mark.parametrize("own", [True, False])
def test_files_that_a_dataset_opens_itself(tmp_path, own):
    path = tmp_path / "x.jpg"
    path.write_bytes(LFS)

    class Opening:
        targets = (0,)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            with path.open("rb") as file:
                return Image.open(path if own else file), 0

    with pytest.raises(RunFailed, match=r"image 0 cannot be read: mine\[0\]: .*Git LFS pointer"):
        WrappedSource(Opening(), "mine", 1)[0]


def test_a_link_to_nothing_and_a_missing_file(image_folder):
    (image_folder / "train" / "ant" / "9.png").symlink_to("/nowhere/9.png")
    source = open_folder(image_folder, "train", where="")
    with pytest.raises(
        RunFailed, match=r"image 4 cannot be read: .*ant/9\.png: it is a link to /nowhere/9\.png"
    ):
        source[4]
