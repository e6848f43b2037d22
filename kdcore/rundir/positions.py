"""Reading and writing at a position of an open file, on every system: Windows has neither `pread` nor `pwrite`."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_one_at_a_time = threading.Lock()
"""For systems where a read moves the file's position. There, loader processes are spawned: each opens its own file."""


def open_at(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file for these functions; Windows would otherwise change line ends.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, flags | getattr(os, "O_BINARY", 0))


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """At most `size` bytes from `offset` on; fewer at the end of the file.

    Raises:
        OSError: it cannot be read.
    """
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)  # forked processes share no position
    parts: list[bytes] = []
    with _one_at_a_time:
        os.lseek(descriptor, offset, os.SEEK_SET)
        while size > 0 and (part := os.read(descriptor, size)):
            parts.append(part)
            size -= len(part)
    return b"".join(parts)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; one call of the system may write only a part, as on a disk that becomes full.

    Raises:
        OSError: the disk is full, or it cannot be written.
    """
    rest = memoryview(data)
    while rest:
        written = _write_some(descriptor, rest, offset)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rest, offset = rest[written:], offset + written


def _write_some(descriptor: int, data: memoryview, offset: int) -> int:
    """Write the beginning of `data`; returns the number of bytes."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, offset)
    with _one_at_a_time:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)
