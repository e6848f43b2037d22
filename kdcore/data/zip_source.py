"""A zip of images with the layout of a folder, read in place: nothing is extracted."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from kdcore.data.archive import ArchiveIndex, chosen_images, describe
from kdcore.data.broken import content
from kdcore.data.source import Files, unreadable
from kdcore.data.tar import TarSource
from kdcore.errors import Problem, UserError
from kdcore.rundir.positions import read_at

if TYPE_CHECKING:
    from pathlib import Path

_LOCAL: Final = struct.Struct("<4s22x2H")  # signature; lengths of the name and of the extra field
_SIGNATURE: Final = b"PK\x03\x04"
_READ: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OTHERS: Final = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
_ENCRYPTED: Final = 1
_HEAD: Final = 4096


class ZipSource(TarSource):
    """The images of one split in a zip. Each place is: offset of the header, packed size, size, CRC, whether packed."""

    _columns = 5

    def content(self, index: int) -> bytes:
        """The bytes of the member.

        Raises:
            Unreadable: it is damaged.
        """
        start, packed, size, crc, deflated = (int(value) for value in self._spans[index])
        name = self.name(index)
        try:
            signature, name_length, extra_length = _LOCAL.unpack(
                read_at(self._descriptor(), _LOCAL.size, start)
            )
            if signature != _SIGNATURE:
                raise ValueError("its header in the zip is damaged")
            data = read_at(self._descriptor(), packed, start + _LOCAL.size + name_length + extra_length)
            if deflated:  # no more than the size that the zip gives: a bomb does not unpack
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(size, 1))
        except (OSError, ValueError, struct.error, zlib.error) as error:
            raise unreadable(name, index, error) from error
        if len(data) != size or zlib.crc32(data) != crc:
            raise unreadable(name, index, ValueError("it is damaged in the zip: its checksum is another one"))
        return data

    def files(self) -> Files:
        """Sizes of all members, and the modification time of the archive."""
        return Files(np.ascontiguousarray(self._spans[:, 2]), self._tar.stat().st_mtime_ns)


def open_zip(path: Path, split: str, *, where: str, dataset_where: str, labels: bool = True) -> ZipSource:
    """The images of a split in a zip; one folder may contain everything. Without `labels`, folders are not classes.

    Raises:
        UserError: the archive cannot be read, is encrypted, or the split is not in it.
    """
    try:
        status = path.stat()
        found = _index(path, status.st_size, status.st_mtime_ns)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        problem = Problem(dataset_where, f"the zip cannot be read: {_fault(path, error)}", value=str(path))
        raise UserError(problem) from error
    chosen = chosen_images(found, path, split, where=where, dataset_where=dataset_where, with_classes=labels)
    source = ZipSource(
        path, str(path), chosen.names, [found.images[name] for name in chosen.names], chosen.labels
    )
    describe(source, chosen, found, path)
    return source


def _fault(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return str(error)
    if (known := content(head, unidentified=False)) is not None:
        return known
    if isinstance(error, zipfile.BadZipFile) and head.startswith(_SIGNATURE):
        return f"it is truncated or damaged ({error})"
    return str(error)


@lru_cache(maxsize=4)  # the splits of one archive share its index
def _index(path: Path, size: int, mtime_ns: int) -> ArchiveIndex:
    """Read the directory.

    Raises:
        BadZipFile: it is damaged.
        ValueError: a member is encrypted, or packed in a way that is not supported.
    """
    index = ArchiveIndex()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # some programs on Windows write '\\' between folders, against the format
            name = member.filename if member.create_system else member.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            if member.flag_bits & _ENCRYPTED:
                raise ValueError(f"{member.filename} is encrypted; pack the images without a password")
            if member.compress_type not in _READ:
                method = _OTHERS.get(member.compress_type, f"method {member.compress_type}")
                raise ValueError(
                    f"{member.filename} is packed by {method}; pack the images without compression or with 'deflate'"
                )
            mode = member.external_attr >> 16
            place = (
                member.header_offset,
                member.compress_size,
                member.file_size,
                member.CRC,
                int(member.compress_type == zipfile.ZIP_DEFLATED),
            )
            index.add(name, place, plain=not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG))
    return index
