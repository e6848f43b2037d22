from __future__ import annotations

import errno
import os
import subprocess
import sys

import filelock
import pytest

from kdcore.rundir import lock as module
from kdcore.rundir.directory import RunDirectory
from kdcore.rundir.lock import Locked, NoLocks, is_locked, lock

HOLD = """
import sys
from pathlib import Path
from kdcore.rundir.lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A file, and a process that holds its lock until its standard input ends."""
    path = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_another_process_has_it_until_it_ends_however_it_ends(other):
    path, process = other
    assert is_locked(path)
    with pytest.raises(Locked), lock(path):
        pass
    process.kill()
    process.wait()
    assert not is_locked(path)
    with lock(path):
        assert is_locked(path)
    assert not is_locked(path)
    assert path.exists()


def test_it_is_waited_for(other):
    path, process = other
    process.stdin.close()
    with lock(path, wait=True):
        assert process.wait(60) == 0


def test_a_file_that_is_not_there_is_not_locked(tmp_path):
    assert not is_locked(tmp_path / ".lock")
    assert not (tmp_path / ".lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # pytest's workers have threads
def test_a_forked_process_neither_ends_nor_keeps_it(tmp_path):
    path = tmp_path / ".lock"
    with lock(path):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # a loader process, which outlives the run
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        assert is_locked(path)
    assert not is_locked(path)
    os.close(write)
    os.waitpid(child, 0)


def test_who_asks_does_not_stop_who_wants_it(tmp_path, monkeypatch):
    assert module._PATIENCE > 0
    monkeypatch.setattr(module, "_PATIENCE", 60.0)  # the other process may be slow
    path = tmp_path / ".lock"
    asks = HOLD.replace("sys.stdin.read()", "__import__('time').sleep(0.2)")  # for a moment, as `is_locked`
    with subprocess.Popen(
        [sys.executable, "-c", asks, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        with lock(path):
            assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks in another way")
@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_and_leaves_no_lock(tmp_path, monkeypatch, number):
    import fcntl

    def missing(*_):
        raise OSError(getattr(errno, number), "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    path = tmp_path / ".lock"
    with pytest.raises(NoLocks), lock(path):
        pass
    path.touch()
    assert not is_locked(path)
    said, done = [], []
    with RunDirectory(tmp_path).locked(said.append):
        done.append(True)
    assert done == [True]
    assert len(said) == 1
    assert "its file system has no locks (Function not implemented)" in said[0]
    with pytest.warns(UserWarning, match="has no locks"), RunDirectory(tmp_path).locked():
        pass


def test_an_older_filelock_says_it_in_its_own_way(tmp_path, monkeypatch):
    class Older:
        def __init__(self, path, thread_local):
            pass

        def acquire(self, **_):
            raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock, "FileLock", Older)
    path = tmp_path / ".lock"
    path.touch()
    assert not is_locked(path)
    with pytest.raises(NoLocks, match="does not appear to support flock"), lock(path):
        pass
