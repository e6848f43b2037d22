"""Arrays of an `.npz` file, mapped from the disk where they are stored without compression."""

from __future__ import annotations

import struct
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_HEADER: Final = struct.Struct("<26xHH")
"""Lengths of name and extra field, at the end of a zip file's local header."""


def read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays by name; an uncompressed one is a read-only map of the file, so processes share its memory.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it is not such a file, or it holds Python objects.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                if member.compress_type != zipfile.ZIP_STORED:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
                    continue
                shape, fortran, dtype = _described(file)
                after_header = file.tell()
            if dtype.hasobject:
                raise ValueError(f"'{name}' holds Python objects")
            raw.seek(member.header_offset)
            lengths = _HEADER.unpack(raw.read(_HEADER.size))
            start = member.header_offset + _HEADER.size + sum(lengths) + after_header
            order: Any = "F" if fortran else "C"
            size = int(np.prod(shape, dtype=np.int64))
            arrays[name] = (
                np.memmap(path, dtype, "r", start, shape, order) if size else np.empty(shape, dtype)
            )
    return arrays


def _described(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"an array has format {version}")
