"""Reading and writing at a position, with and without the system's own calls for it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from kdcore.rundir.files import sync_file, sync_folder, write_text
from kdcore.rundir.positions import open_at, read_at, write_at


@pytest.fixture(params=["own calls", "without"])
def system(request, monkeypatch):
    """A system with `pread` and `pwrite`, and one without, as Windows is."""
    if request.param == "without":
        monkeypatch.delattr(os, "pread")
        monkeypatch.delattr(os, "pwrite")
    return request.param


@pytest.fixture
def opened(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(200)))
    descriptor = open_at(file, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def test_reading(system, opened):
    assert read_at(opened, 3, 10) == bytes([10, 11, 12])
    assert read_at(opened, 0, 10) == b""
    assert read_at(opened, 10, 195) == bytes(range(195, 200))  # the file ends
    assert read_at(opened, 10, 500) == b""


def test_writing(system, opened):
    write_at(opened, b"ab", 4)
    assert read_at(opened, 4, 3) == b"\x03ab\x06"
    write_at(opened, b"end", 300)
    assert read_at(opened, 400, 199) == b"\xc7" + bytes(100) + b"end"


def test_parts_that_the_system_reads(opened, monkeypatch):
    """One call of `read` may give less than it was asked for."""
    monkeypatch.delattr(os, "pread")
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))
    assert read_at(opened, 50, 20) == bytes(range(20, 70))


def test_parts_that_the_system_writes(system, opened, monkeypatch):
    """One call may write less than it was asked for; a full disk is an error of the next one."""
    name = "pwrite" if system == "own calls" else "write"
    write, room = getattr(os, name), [20]

    def some(descriptor, data, *offset):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = min(len(data), 7, room[0])
        room[0] -= size
        return write(descriptor, data[:size], *offset)

    monkeypatch.setattr(os, name, some)
    write_at(opened, b"sixteen letters.", 50)
    assert read_at(opened, 18, 49) == b"\x31sixteen letters.\x42"
    with pytest.raises(OSError, match="No space"):
        write_at(opened, b"five.", 100)
    monkeypatch.setattr(os, name, lambda *_: 0)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_at(opened, b"five.", 100)


def test_threads_do_not_move_each_others_position(opened, monkeypatch):
    monkeypatch.delattr(os, "pread")
    wrong = []

    def look(offset):
        wrong.extend(1 for _ in range(300) if read_at(opened, 5, offset) != bytes(range(offset, offset + 5)))

    threads = [threading.Thread(target=look, args=(offset,)) for offset in (3, 90, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_system_that_opens_no_folder(tmp_path, monkeypatch):
    """Windows refuses to open a folder, and to flush a file that is open for reading."""
    real = os.open
    flags = []

    def windows(path, flag, *more, **keywords):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        flags.append(flag)
        return real(path, flag, *more, **keywords)

    monkeypatch.setattr(os, "open", windows)
    with pytest.raises(PermissionError):
        sync_folder(tmp_path)
    monkeypatch.delattr(os, "O_DIRECTORY")
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    flags.clear()
    sync_file(tmp_path / "file")
    assert flags == [os.O_RDWR]
