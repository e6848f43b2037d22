"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)(?:-[0-9a-f]+)?\.(?P<kind>tmp|old)")
_CHUNK = 1 << 20


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that replaces `path` once it is complete and on the disk."""
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """A name in the folder of `path` that no other process has.

    The process's number alone is not enough: those of other machines and containers that share the folder may be equal.
    """
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")


def sync_folder(folder: Path) -> None:
    """Flush renames in `folder` to the disk; Windows, which cannot open a folder, does this by itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk, also if another process wrote it."""
    # Windows flushes only a file that is open for writing
    handle = os.open(path, os.O_RDONLY if hasattr(os, "O_DIRECTORY") else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, *, name: str | None = None, older_than: float = 0.0) -> None:
    """Remove the temporary files and folders of killed processes in a folder; keep those of running processes.

    If a folder was renamed to make way for a new one that was never completed, it gets its name back.

    Args:
        folder: the folder to clean; it may be missing.
        name: only those of the file or folder of this name; None: all, in a folder that is kd's own.
        older_than: minimum seconds since they were last written, if processes on other machines use the folder too.
    """
    for path in folder.glob(".*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or name not in (None, found["name"]) or _is_running(int(found["process"])):
            continue
        with contextlib.suppress(OSError):  # another process may remove them at the same time
            if time.time() - path.lstat().st_mtime < older_than:
                continue
            target = folder / found["name"]
            if found["kind"] == "old" and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False  # this process got the number of an old one, and has written nothing yet
    import psutil  # `kd --help` does not need it

    return bool(psutil.pid_exists(process))  # on Windows, signal 0 of `os.kill` is Ctrl-C


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON completely or not at all; numbers that JSON does not have (NaN) become null."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """`value`, with None instead of each number that is not finite."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
