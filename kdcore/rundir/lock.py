"""Locks between processes: on a folder that one process at a time may change. They end with their process."""

from __future__ import annotations

import errno
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

# to ask whether a folder is in use takes its lock for a moment, which must not stop the process that wants it
_PATIENCE: Final = 1.0  # seconds
_NO_LOCKS: Final = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


class Locked(Exception):
    """Another process has the lock."""


class NoLocks(OSError):
    """The file system has no locks that end with their process."""


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file at `path`, which stays there afterwards.

    A forked process does not hold it, and does not keep it.

    Args:
        path: the file; its folder exists.
        wait: wait for another process that has the lock, however long it takes.

    Raises:
        Locked: another process has the lock.
        NoLocks: the file system has no locks.
        OSError: the file cannot be written.
    """
    from filelock import Timeout  # `kd --help` needs no locks

    held = _lock_of(path)
    try:
        held.acquire(timeout=-1 if wait else _PATIENCE, poll_interval=0.05)
    except Timeout as error:
        raise Locked(str(path)) from error
    except NotImplementedError as error:  # of older versions
        raise NoLocks(errno.ENOSYS, str(error), str(path)) from error
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocks(error.errno, error.strerror, str(path)) from error
        raise
    try:
        yield
    finally:
        held.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file; False if the file does not exist or cannot be opened."""
    if not path.exists():
        return False
    from filelock import Timeout

    asked = _lock_of(path)
    try:
        asked.acquire(blocking=False)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    asked.release()
    return False


def _lock_of(path: Path) -> BaseFileLock:
    from filelock import FileLock

    if "fallback_to_soft" in inspect.signature(FileLock.__init__).parameters:
        # otherwise, on a file system without locks, it writes a marker, which stays if its process is killed
        return FileLock(path, thread_local=False, fallback_to_soft=False)
    return FileLock(path, thread_local=False)
