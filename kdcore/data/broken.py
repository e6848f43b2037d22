"""What is wrong with a file that should be an image: empty, an HTML page, truncated, ..."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

SKIP: Final = "data.skip_broken: true skips images that cannot be read."
_HEAD = 4096  # bytes that are examined
_STREAM: Final = re.compile(r"\s*<_io\.\w+ (?:object at \w+|name=(?P<quote>['\"])(?P<name>.*?)(?P=quote))>")
_PATH: Final = re.compile(r"image file (?P<quote>['\"])(?P<name>.*)(?P=quote)$")
_CUT: Final = re.compile(
    r"truncated|end of file|unexpected end|requires a buffer|not enough|more data|EOF", re.IGNORECASE
)
_NETPBM: Final = re.compile(rb"p[1-7f]\s")  # image formats that begin with text
_IMAGES: Final = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"P2": "PGM",
    b"P5": "PGM",
    b"P3": "PPM",
    b"P6": "PPM",
}
_OTHERS: Final = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"8BPS": "a Photoshop document",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"\x1aE\xdf\xa3": "a video",
}
_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "a HEIC image"),
}


def reason(error: Exception, data: bytes | None = None) -> str:
    """Why an image cannot be read, from Pillow's error and the file's content (None: taken from the error)."""
    text = str(error) or type(error).__name__
    path = ""
    if data is None and (found := _STREAM.search(text) or _PATH.search(text)) is not None and found["name"]:
        with suppress(OSError):
            data, path = Path(found["name"]).read_bytes(), f" ({found['name']})"
    if data is not None and (known := content(data, unidentified="identify" in text)) is not None:
        return known + path
    if _CUT.search(text):
        return f"the file is truncated ({_STREAM.sub('', text)})"
    return _STREAM.sub("", text)


def content(data: bytes, *, unidentified: bool) -> str | None:
    """What a file holds instead of an image or an archive; None if it may be a damaged one.

    `unidentified`: Pillow does not recognise it as an image; without this, only text and empty files are recognised.
    """
    if not data:
        return "the file is empty"
    if not data.strip(b"\0"):
        return "the file holds only zero bytes"
    head = data[:_HEAD]
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "the file is a Git LFS pointer, not the image itself; run 'git lfs pull' to fetch it"
    if (text := _text(head)) is not None:
        return text
    if not unidentified:
        return None
    for start, kind in _IMAGES.items():
        if head.startswith(start):
            fault = "truncated, damaged, or in a variant that Pillow cannot read"
            return f"the file begins as a {kind} image, but it is {fault}"
    for start, kind in _OTHERS.items():
        if head.startswith(start):
            return f"the file is {kind}, not a supported image"
    if head[4:8] == b"ftyp":
        kind = _BRANDS.get(head[8:12], "a video")
        return f"the file is {kind}, which is not supported; convert it to PNG or JPEG"
    return f"Pillow does not recognise the file's content as an image (it begins with {head[:8].hex(' ')})"


def _text(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in start[:512]:
        return "the file is an HTML page, not an image; a download may have failed"
    if b"<svg" in start and start.startswith((b"<", b"<?xml")):
        return "the file is an SVG drawing, not a pixel image"
    if start.startswith(b"<?xml"):
        return "the file is an XML document, not an image; a download may have failed"
    if _NETPBM.match(start):
        return None
    printable = all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head)
    if printable:
        try:
            head.decode("utf-8")
        except UnicodeDecodeError as error:
            if len(head) < _HEAD or error.start < _HEAD - 4:  # the end of the head may cut a character in two
                return None
        return f"the file is text, not an image; it begins with {head[:40].decode('utf-8', 'replace')!r}"
    return None
