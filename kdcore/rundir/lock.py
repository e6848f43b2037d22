"""Locks between processes: on a folder that one process at a time may change. They end with their process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# to ask whether a folder is in use takes its lock for a moment, which must not stop the process that wants it
_PATIENCE: Final = 1.0  # seconds


class Locked(Exception):
    """Another process has the lock."""


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file at `path`, which stays there afterwards.

    A forked process does not hold it, and does not keep it.

    Args:
        path: the file; its folder exists.
        wait: wait for another process that has the lock, however long it takes.

    Raises:
        Locked: another process has the lock.
        OSError: the file cannot be written, or its file system has no locks.
    """
    from filelock import FileLock, Timeout  # `kd --help` needs no locks

    held = FileLock(path, timeout=-1 if wait else _PATIENCE, thread_local=False)
    try:
        held.acquire(poll_interval=0.05)
    except Timeout as error:
        raise Locked(str(path)) from error
    try:
        yield
    finally:
        held.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file; False if the file does not exist or cannot be opened."""
    if not path.exists():
        return False
    from filelock import FileLock, Timeout

    asked = FileLock(path, thread_local=False)
    try:
        asked.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    asked.release()
    return False
