"""Compressed tars are unpacked once, to a plain tar in the cache, from which single images can be read."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

from kdcore.data.cache import cache_dir
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.rundir.lock import Locked, lock
from kdcore.text import byte_size

Opener = Callable[[Path], Any]

_BY_MAGIC: Final[tuple[tuple[bytes, Opener], ...]] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"BZh", bz2.open),
)
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 20
_RATIO: Final = 50
"""Images hardly shrink: an archive that unpacks to more than this multiple of its size is treated as a bomb."""
ALWAYS_ALLOWED: Final = 256 << 20  # bytes that any archive may unpack to
_SPARED: Final = 0.05  # part of the free disk space that unpacking keeps free


def plain_tar(path: Path, *, where: str) -> Path:
    """The tar itself if it is not compressed, otherwise its unpacked copy in the cache, created at first use.

    The copy's name depends on the archive's path, size and modification time; it is written completely or not at all.

    Raises:
        UserError: the archive cannot be opened, is damaged, unpacks to more than the limit, or is not a tar.
        RunFailed: the cache cannot be written, for example on a full disk.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        status = path.stat()
    except OSError as error:
        raise UserError(Problem(where, f"the archive cannot be read: {error}", value=str(path))) from error
    if magic.startswith(_ZSTD):
        hint = "Unpack it to a .tar, or pack it as .tar.gz or .tar.xz."
        raise UserError(Problem(where, "zstd archives are not supported", value=str(path), hint=hint))
    opener = next((opener for start, opener in _BY_MAGIC if magic.startswith(start)), None)
    if opener is None:
        return path
    identity = repr((str(path.resolve()), status.st_size, status.st_mtime_ns))
    key = blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    folder = cache_dir() / "tars"
    target = folder / f"{path.name.split('.')[0]}-{key}.tar"
    try:
        remove_parts(folder)
        if target.exists():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, wait=True):
            if not target.exists():  # another process may have been faster
                _unpack(path, opener, target, where, _limit(status.st_size))
    except OSError as error:
        raise _cannot_write(path, folder, error) from error
    return target


def remove_parts(folder: Path) -> None:
    """Remove the partial files of killed processes; if another process is unpacking, remove nothing."""
    if not folder.is_dir():
        return
    with _locked(folder, wait=False) as alone:
        if alone:
            for part in folder.glob("*.part"):
                part.unlink(missing_ok=True)


def _limit(size: int) -> int:
    return max(ALWAYS_ALLOWED, _RATIO * size)


def _unpack(path: Path, opener: Opener, target: Path, where: str, limit: int) -> None:
    free = int(shutil.disk_usage(target.parent).free * (1 - _SPARED))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.stem}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            _decompress(path, opener, Limited(out, path, where, limit, free), where)
            out.flush()
            os.fsync(out.fileno())
        if not tarfile.is_tarfile(part):
            raise UserError(
                Problem(where, "the archive is compressed, but does not contain a tar", value=str(path))
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class Limited:
    """A file that accepts no more than the limit of the archive, and no more than the free disk space.

    Raises:
        UserError: it would be more than the limit.
        OSError: the disk would be full.
    """

    def __init__(self, out: BinaryIO, path: Path, where: str, limit: int, free: int) -> None:
        self._out, self._path, self._where, self._limit, self._free = out, path, where, limit, free
        self._written = 0

    def write(self, data: bytes) -> int:
        """Write the next bytes, unless they are more than allowed or fill the disk."""
        self._written += len(data)
        if self._written > self._limit:
            size = self._path.stat().st_size
            raise UserError(
                Problem(
                    self._where,
                    f"the archive of {byte_size(size)} unpacks to more than {byte_size(self._limit)}, "
                    f"the limit, which is {_RATIO} times its size, and at least {byte_size(ALWAYS_ALLOWED)}",
                    value=str(self._path),
                    hint="If you trust it, unpack it yourself and use the .tar or the folder.",
                )
            )
        if self._written > self._free:
            raise OSError(errno.ENOSPC, "the unpacked archive would fill the disk")
        return self._out.write(data)


def _decompress(path: Path, opener: Opener, out: Limited, where: str) -> None:
    damaged: Exception
    try:
        with opener(path) as packed:
            shutil.copyfileobj(packed, out, _CHUNK)
        return
    except EOFError as error:
        damaged, fault = error, f"it is truncated ({error})"
    except (zlib.error, lzma.LZMAError) as error:
        damaged, fault = error, str(error)
    except OSError as error:
        if error.errno is not None:  # an error of the system, not of the decompressor
            raise
        damaged, fault = error, str(error)
    raise UserError(Problem(where, f"the archive is damaged: {fault}", value=str(path))) from damaged


def _cannot_write(path: Path, folder: Path, error: OSError) -> RunFailed:
    cause = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
    return RunFailed(
        f"{path} cannot be unpacked into {folder}: {cause}\n"
        "    Free some space, set KD_CACHE to a folder on another disk, or use an uncompressed .tar."
    )


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this process got the folder's lock; all processes of a run call this, and one of them unpacks.

    Without locks, as on some network drives, all processes would unpack, which is slow but not wrong.
    """
    with ExitStack() as stack:
        taken = False
        with suppress(OSError, Locked):
            stack.enter_context(lock(folder.with_name(f"{folder.name}.lock"), wait=wait))
            taken = True
        yield taken
