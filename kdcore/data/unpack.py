"""Compressed tars are unpacked once, to a plain tar in the cache, where single images can be read."""

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
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

from kdcore.data.cache import cache_dir
from kdcore.errors import Problem, RunFailed, UserError

Opener = Callable[[Path], Any]

_BY_MAGIC: Final[tuple[tuple[bytes, Opener], ...]] = (
    (b"\x1f\x8b", gzip.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"BZh", bz2.open),
)
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1 << 20


def plain_tar(path: Path, *, where: str) -> Path:
    """The tar itself if it is not compressed, else its unpacked copy in the cache, made when first asked for.

    The copy is known by the archive's path, size and time of change, and appears whole or not at all.

    Raises:
        UserError: the archive cannot be opened, is damaged, or is no tar.
        RunFailed: the cache cannot be written, such as on a full disk.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        status = path.stat()
    except OSError as error:
        raise UserError(Problem(where, f"the archive cannot be read: {error}", value=str(path))) from error
    if magic.startswith(_ZSTD):
        hint = "Unpack it to a .tar, or pack it as .tar.gz or .tar.xz."
        raise UserError(Problem(where, "zstd archives cannot be read", value=str(path), hint=hint))
    opener = next((opener for start, opener in _BY_MAGIC if magic.startswith(start)), None)
    if opener is None:
        return path
    identity = repr((str(path.resolve()), status.st_size, status.st_mtime_ns))
    key = blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    folder = cache_dir() / "tars"
    target = folder / f"{path.name.split('.')[0]}-{key}.tar"
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            if not target.exists():  # another process may have been faster
                _unpack(path, opener, target, where)
    except OSError as error:
        raise _cannot_write(path, folder, error) from error
    return target


def _unpack(path: Path, opener: Opener, target: Path, where: str) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.stem}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            _decompress(path, opener, out, where)
            out.flush()
            os.fsync(out.fileno())
        if not tarfile.is_tarfile(part):
            raise UserError(
                Problem(where, "the archive is compressed, but there is no tar inside", value=str(path))
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _decompress(path: Path, opener: Opener, out: BinaryIO, where: str) -> None:
    damaged: Exception
    try:
        with opener(path) as packed:
            shutil.copyfileobj(packed, out, _CHUNK)
        return
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        damaged = error
    except OSError as error:
        if error.errno is not None:  # the system's, not the decompressor's
            raise
        damaged = error
    raise UserError(Problem(where, f"the archive is damaged: {damaged}", value=str(path))) from damaged


def _cannot_write(path: Path, folder: Path, error: OSError) -> RunFailed:
    cause = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
    return RunFailed(
        f"{path} cannot be unpacked into {folder}: {cause}\n"
        "    Make room, set KD_CACHE to a folder with more of it, or give an uncompressed .tar."
    )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    # The processes of one run all come here; without locks all would unpack, which is slow but not wrong.
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
