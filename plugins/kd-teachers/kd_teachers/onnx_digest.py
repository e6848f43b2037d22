"""The digest of an ONNX file with the other files that hold its weights."""

from __future__ import annotations

import hashlib
import mmap
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK: Final = 1 << 20
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12([\x80-\xff]?[\x00-\x7f])")
"""How protobuf writes the entry 'location' of a tensor with values in another file, and the length of its value."""


def onnx_digest(file: Path) -> bytes:
    """SHA-256 of an ONNX file, followed by its files of weights in the order of their names.

    `torch.onnx.export` writes weights to `FILE.onnx.data`: the file itself is the same for all weights.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for part in (file, *_weight_files(file)):
        with part.open("rb") as opened:
            while block := opened.read(_CHUNK):
                digest.update(block)
    return digest.digest()


def _weight_files(file: Path) -> list[Path]:
    found = (file.parent / name for name in sorted(set(_locations(file))))
    # what only looks like an entry names no file
    return [path for path in found if path.is_file() and path != file]


def _locations(file: Path) -> Iterator[str]:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for entry in _LOCATION.finditer(content):
            low, *high = entry[1]
            length = (low & 0x7F) + (high[0] << 7 if high else 0)
            name = content[entry.end() : entry.end() + length]
            if b"\0" not in name:
                yield name.decode("utf-8", "surrogateescape")
