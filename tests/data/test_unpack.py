from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from kdcore.data import unpack
from kdcore.data.unpack import plain_tar
from kdcore.errors import RunFailed, UserError

if TYPE_CHECKING:
    from pathlib import Path

OPENERS = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}


@pytest.fixture
def plain(image_folder, tmp_path) -> Path:
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(image_folder, arcname=".")
    return path


def packed(plain: Path, ending: str) -> Path:
    path = plain.with_name(f"images.tar.{ending}")
    with OPENERS[ending](path, "wb") as out:
        out.write(plain.read_bytes())
    return path


def left(cache: Path) -> list[str]:
    return [path.name for path in (cache / "tars").iterdir()]


def test_plain_tars_stay_where_they_are(plain, own_cache):
    assert plain_tar(plain, where="") == plain
    assert not list(own_cache.iterdir())


@pytest.mark.parametrize("ending", OPENERS)
def test_unpacked_once(plain, own_cache, ending):
    path = packed(plain, ending)
    copy = plain_tar(path, where="")
    assert copy.read_bytes() == plain.read_bytes()
    assert left(own_cache) == [copy.name]
    # with the same size and time it is the same archive: its content, which no longer is one, is not read again
    status, head = path.stat(), path.read_bytes()[:8]
    path.write_bytes(head.ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert plain_tar(path, where="") == copy
    assert copy.read_bytes() == plain.read_bytes()


def test_a_changed_archive_is_unpacked_anew(plain, own_cache):
    path = packed(plain, "gz")
    first = plain_tar(path, where="")
    os.utime(path, ns=(1, 1))
    assert plain_tar(path, where="") != first


def test_the_ending_does_not_matter(plain):
    path = packed(plain, "gz").rename(plain.with_name("other.tar"))
    assert tarfile.is_tarfile(plain_tar(path, where=""))


@pytest.mark.parametrize("ending", OPENERS)
@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_damaged(plain, own_cache, ending, damage):
    path = packed(plain, ending)
    data = bytearray(path.read_bytes())
    if damage == "cut off":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"data\.dataset: the archive is damaged"):
        plain_tar(path, where="data.dataset")
    assert left(own_cache) == []


def test_compressed_but_no_tar(tmp_path, own_cache):
    path = tmp_path / "text.tar.gz"
    path.write_bytes(gzip.compress(b"text"))
    with pytest.raises(UserError, match="does not contain a tar"):
        plain_tar(path, where="data.dataset")
    assert left(own_cache) == []


def test_zstd_and_missing_files(tmp_path):
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd1234")
    with pytest.raises(UserError, match="zstd"):
        plain_tar(path, where="data.dataset")
    with pytest.raises(UserError, match="cannot be read"):
        plain_tar(tmp_path / "nothing.tar", where="data.dataset")


def test_half_an_archive_is_called_truncated(plain):
    path = packed(plain, "gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"the archive is damaged: it is truncated \("):
        plain_tar(path, where="data.dataset")


@pytest.mark.parametrize("ending", OPENERS)
def test_a_bomb_leaves_nothing(tmp_path, own_cache, monkeypatch, ending):
    monkeypatch.setattr(unpack, "ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / f"bomb.tar.{ending}"
    with OPENERS[ending](path, "wb") as out:
        for _ in range(16):
            out.write(bytes(1 << 20))
    largest = []
    write = unpack.Limited.write
    monkeypatch.setattr(
        unpack.Limited, "write", lambda self, data: largest.append(len(data)) or write(self, data)
    )
    with pytest.raises(
        UserError, match=r"(?s)unpacks to more than 1\.05 MB, .*unpack it yourself and use the \.tar"
    ) as caught:
        plain_tar(path, where="data.dataset")
    assert caught.value.problems[0].where == "data.dataset"
    assert sum(largest) <= 3 << 20  # it stops where the limit is
    assert left(own_cache) == []


def test_large_archives_may_unpack_to_a_multiple_of_their_size():
    assert unpack._limit(1) == 256 << 20
    assert unpack._limit(1 << 30) == 50 << 30


def test_the_disk_is_not_filled(plain, own_cache, monkeypatch):
    path = packed(plain, "gz")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=plain.stat().st_size))
    with pytest.raises(RunFailed, match=r"(?s)the disk is full.*KD_CACHE"):
        plain_tar(path, where="data.dataset")
    assert left(own_cache) == []


def test_parts_of_dead_processes_go_and_those_of_living_ones_stay(plain, own_cache):
    path = packed(plain, "gz")
    copy = plain_tar(path, where="")
    part = own_cache / "tars" / "other-0123.abc.part"
    part.write_bytes(bytes(1000))
    with unpack._locked(part.parent, wait=True):  # a living process unpacks
        plain_tar(path, where="")
    assert part.exists()
    assert plain_tar(path, where="") == copy
    assert left(own_cache) == [copy.name]


def test_a_killed_unpacking(plain, own_cache):
    path = packed(plain, "gz")
    script = """
        import os, shutil, signal, sys
        from pathlib import Path
        from kdcore.data.unpack import plain_tar

        def killed(source, out, length):
            out.write(b"x" * 100)
            os.kill(os.getpid(), signal.SIGKILL)

        shutil.copyfileobj = killed
        plain_tar(Path(sys.argv[1]), where="")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], check=False)
    assert [name.endswith(".part") for name in left(own_cache)] == [True]
    other = packed(plain, "xz")
    copy = plain_tar(other, where="")
    assert left(own_cache) == [copy.name]


@pytest.mark.parametrize(("number", "text"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "Read-only")])
def test_disk_full_leaves_nothing(plain, own_cache, monkeypatch, number, text):
    path = packed(plain, "xz")

    def full(source, out, length):
        out.write(source.read(100))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(RunFailed, match=f"(?s){text}.*KD_CACHE"):
        plain_tar(path, where="data.dataset")
    assert left(own_cache) == []


def test_cache_that_is_no_folder(plain, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KD_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunFailed, match="cannot be unpacked"):
        plain_tar(packed(plain, "gz"), where="data.dataset")
