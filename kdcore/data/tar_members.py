"""The members of a tar to its end mark: a truncated or damaged tar is an error, not a shorter one."""

from __future__ import annotations

import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kdcore.data.broken import content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAD: Final = 4096
_CUT: Final = (
    "unexpected end of data",
    "truncated header",
    "empty header",
    "empty file",
)  # errors of Python's tarfile
_LOOKED_BEHIND: Final = 1 << 20  # bytes after a tar's end, where zeros fill its last record


def members(archive: tarfile.TarFile, tar: Path, size: int) -> Iterator[tarfile.TarInfo]:
    """All members of an uncompressed tar.

    Args:
        archive: the opened tar.
        tar: its file.
        size: of the file, in bytes.

    Raises:
        ReadError: the tar is truncated, or damaged.
    """
    last = "its beginning"
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # else every member of the archive stays in memory
        last = member.name
        if member.isreg() and not member.issparse() and member.offset_data + member.size > size:
            raise tarfile.ReadError(f"it is truncated: it ends within {last}")
        yield member
    with tar.open("rb") as file:
        file.seek(archive.offset)
        block = file.read(tarfile.BLOCKSIZE)
    # Python's tarfile silently takes both for the end
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it is truncated: it ends after {last}, without the end mark of a tar")
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"it is damaged: the data after {last} is not a member of a tar")


def more_behind(archive: tarfile.TarFile, tar: Path) -> bool:
    """Whether there is more data after the end mark of a tar whose members have all been read."""
    with tar.open("rb") as file:
        file.seek(archive.offset + tarfile.BLOCKSIZE)
        return bool(file.read(_LOOKED_BEHIND).strip(b"\0"))


def fault(tar: Path, error: Exception) -> str:
    """What is wrong with a tar that cannot be read: what its file is, or the error of Python's tarfile."""
    with suppress(OSError), tar.open("rb") as file:
        if (known := content(file.read(_HEAD), unidentified=False)) is not None:
            return known
    text = str(error)
    return f"it is truncated ({text})" if text in _CUT else text
