"""A zip of images is read in place, like a tar with the same members."""

from __future__ import annotations

import io
import pickle
import random
import tarfile
import zipfile

import numpy as np
import pytest

from kdcore.data import open_split
from kdcore.data.tar import open_tar
from kdcore.data.zip_source import open_zip
from kdcore.errors import RunFailed, UserError
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec


def opened(path, split):
    return open_zip(path, split, where="data.train_split", dataset_where="data.dataset")


@pytest.fixture
def members(make_picture):
    """Names and contents: two classes in two splits, and what is left out."""
    found = {}
    for split in ("train", "val"):
        for number in range(6):
            buffer = io.BytesIO()
            make_picture(number).save(buffer, "BMP" if number % 2 else "PNG")
            found[
                f"photos/{split}/{'cat' if number < 3 else 'dög'}/{number}.{'bmp' if number % 2 else 'png'}"
            ] = buffer.getvalue()
    return found | {
        "photos/train/cat/notes.txt": b"x",
        "photos/train/cat/.cache/1.png": b"x",
        "photos/train/cat/@eaDir/1.png": b"x",
        "__MACOSX/photos/train/cat/._0.png": b"x",
        "../outside.png": b"x",
    }


def packed(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("photos")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("split", ["train", "test"])
def test_it_is_the_tar_with_the_same_members(tmp_path, members, method, split):
    source = opened(packed(tmp_path / "a.zip", members, method), split)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    tar = open_tar(tmp_path / "a.tar", split, where="", dataset_where="")
    assert len(source) == len(tar) == 6
    assert (
        (source.classes, source.split)
        == (tar.classes, tar.split)
        == (("cat", "dög"), {"test": "val"}.get(split, split))
    )
    assert source.labels.tolist() == tar.labels.tolist()
    assert [source.key(i) for i in range(6)] == [tar.key(i) for i in range(6)]
    assert source.files().sizes.tolist() == tar.files().sizes.tolist()
    assert [note.partition(": ")[2] for note in source.notes] == [
        note.partition(": ")[2] for note in tar.notes
    ]
    for index in random.Random(0).sample(range(6), 6):
        assert source.content(index) == tar.content(index)
        assert np.array_equal(np.asarray(source[index][0]), np.asarray(tar[index][0]))
    again = pickle.loads(pickle.dumps(source))  # as a loader process that is not forked gets it
    assert again.content(3) == source.content(3)


def test_backslashes_between_folders(tmp_path, members):
    """As old versions of .NET pack them."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = name.replace("/", "\\"), 0
            archive.writestr(info, content)
    source, usual = opened(tmp_path / "a.zip", "train"), opened(packed(tmp_path / "b.zip", members), "train")
    assert [source.key(index) for index in range(len(source))] == [
        usual.key(index) for index in range(len(usual))
    ]
    assert (source.classes, source[2][0].tobytes()) == (usual.classes, usual[2][0].tobytes())


def test_a_spec_names_it(tmp_path, members):
    data = DataSpec(dataset=str(packed(tmp_path / "A.ZIP", members)))
    assert len(open_split(data, "val", plugins=get_plugins(), where="data.eval_split")) == 6


def test_a_damaged_member_is_named(tmp_path, members):
    path = packed(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    source = opened(path, "train")
    content = source.content(1)
    data = path.read_bytes()
    path.write_bytes(data.replace(content, content[:-1] + bytes([content[-1] ^ 1]), 1))
    with pytest.raises(RunFailed, match=r"a\.zip:photos/train/cat/1\.bmp: .*its checksum is another one"):
        source.content(1)
    assert source.content(2)


@pytest.mark.parametrize("cut", [10, 3000])
def test_a_truncated_zip(tmp_path, members, cut):
    path = packed(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="the zip cannot be read: it is truncated or damaged"):
        opened(path, "train")


def test_what_is_no_zip(tmp_path):
    (tmp_path / "a.zip").write_text("<html><body>404</body></html>")
    with pytest.raises(UserError, match="the zip cannot be read: the file is an HTML page"):
        opened(tmp_path / "a.zip", "train")
    packed(tmp_path / "b.zip", {"train/a/readme.txt": b"x"})
    with pytest.raises(UserError, match=r"the zip has no images"):
        opened(tmp_path / "b.zip", "train")


def test_other_ways_of_packing(tmp_path, members):
    with pytest.raises(
        UserError, match=r"is packed by lzma; pack the images without compression or with 'deflate'"
    ):
        opened(packed(tmp_path / "a.zip", members, zipfile.ZIP_LZMA), "train")
    path = packed(tmp_path / "b.zip", {"train/a/1.png": b"x"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # what an encrypted member has in the directory
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"train/a/1\.png is encrypted"):
        opened(path, "train")


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path):
    path = packed(tmp_path / "a.zip", {"train/b/2.png": b"x", "train/a/1.png": bytes(10_000_000)})
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\x01\x02") + 24  # the size of the last member
    data[start : start + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(RunFailed, match="its checksum is another one"):
        opened(path, "train").content(0)
