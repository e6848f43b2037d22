"""`data.unlabelled`: more images to train on, without labels."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore import UserError
from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.source import Source
from kdcore.data.unlabelled import with_unlabelled
from kdcore.spec.data_spec import DataSpec


@pytest.fixture
def folders(tmp_path, make_picture):
    """`labelled/{cat,dog}` with 4 images, and `more`, with 3 images, one of them in a folder, and another file."""
    for number, name in enumerate(("labelled/cat/0", "labelled/cat/1", "labelled/dog/2", "labelled/dog/3")):
        save(make_picture(number), tmp_path / f"{name}.png")
    for number, name in enumerate(("more/b", "more/deep/er/c", "more/a"), 4):
        save(make_picture(number), tmp_path / f"{name}.png")
    (tmp_path / "more" / "notes.heic").write_text("x")
    return tmp_path


def save(picture, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture
def train(folders):
    return open_folder(folders / "labelled", "", where="data.train_split")


def joined(train, path, *measured, **data):
    return with_unlabelled(train, measured, DataSpec(unlabelled=str(path), **data))


def names(source):
    return [Path(source.name(index)).stem for index in range(len(source))]


def test_a_folder(folders, train, make_picture):
    source = joined(train, folders / "more")
    assert names(source) == ["0", "1", "2", "3", "a", "b", "c"]
    assert source.labels.tolist() == [0, 0, 1, 1, -1, -1, -1]
    assert (source.classes, source.num_classes, source.labelled) == (("cat", "dog"), 2, True)
    assert source[6][0].tobytes() == make_picture(5).tobytes()
    assert [source[index][1] for index in (1, 6, -1)] == [0, -1, -1]
    assert (source.key(0), source.key(6)) == ("cat/0.png", "more/deep/er/c.png")
    assert source.content(6) == Path(source.name(6)).read_bytes()
    assert len(source.files().sizes) == 7
    assert any("1 file with" in note or ".heic" in note for note in source.notes)
    assert with_unlabelled(train, (), DataSpec()) is train


def test_a_table_and_a_tar(folders, train):
    table = folders / "more.csv"
    table.write_text("path,label,split\nmore/a.png,cat,train\nmore/b.png,,test\n")
    assert joined(train, table).labels.tolist()[4:] == [-1, -1]
    with tarfile.open(folders / "more.tar", "w") as tar:
        tar.add(folders / "more" / "a.png", "x/a.png")
        tar.add(folders / "more" / "b.png", "y/b.png")
    source = joined(train, folders / "more.tar")
    assert source.labels.tolist()[4:] == [-1, -1]
    assert source.key(4).startswith("more.tar/")


def test_labels_are_not_read(folders, train):
    table = folders / "more.csv"
    table.write_text("path,label\nmore/a.png,cat\nmore/a.png,dog\nmore/b.png,\n")
    assert names(joined(train, table))[4:] == ["a", "b"]
    with tarfile.open(folders / "more.tar", "w") as tar:
        tar.add(folders / "more" / "a.png", "a.png")
        tar.add(folders / "more" / "b.png", "y/b.png")
    assert joined(train, folders / "more.tar").labels.tolist()[4:] == [-1, -1]


def test_a_table_is_read_as_that_of_the_data(folders, train, tmp_path):
    path = folders / "more.csv"
    path.write_text("Datei:Größe\nmore/a.png:1\nmore/b.png:2\n", encoding="cp1252")
    options = {"path": "Datei", "label": "Klasse", "delimiter": ":", "encoding": "cp1252"}
    assert names(joined(train, path, dataset="photos.csv", options=options))[4:] == ["a", "b"]
    with pytest.raises(UserError, match=r"data\.unlabelled: .*is not utf-8"):
        joined(train, path, dataset="photos.csv")
    with pytest.raises(UserError, match=r"data\.unlabelled: .*is not utf-8"):
        joined(train, path, dataset="own", options=options)


def test_a_zip(folders, train, make_picture):
    with zipfile.ZipFile(folders / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folders / "more" / "a.png", "x/a.png")
        archive.write(folders / "more" / "b.png", "y/b.png")
    source = joined(train, folders / "more.zip")
    assert source.labels.tolist()[4:] == [-1, -1]
    assert (source.key(4), source[4][0].tobytes()) == ("more.zip/x/a.png", make_picture(6).tobytes())
    (folders / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"data\.unlabelled.*the zip cannot be read"):
        joined(train, folders / "bad.zip")


def test_arrays_of_the_same_channels(folders, train):
    (folders / "arrays").mkdir()
    np.save(folders / "arrays" / "one.npy", np.zeros((5, 6, 4), np.uint8))
    source = joined(train, folders / "arrays", channels=4)
    assert source[4][0].shape == (5, 6, 4)


def test_images_of_the_data_are_left_out(folders, train):
    evaluation = open_folder(folders / "more" / "deep", "", where="data.eval_split")
    source = joined(train, folders, evaluation)
    assert names(source) == ["0", "1", "2", "3", "a", "b"]
    assert any("5 of 7 images are left out: they are in the data already" in note for note in source.notes)
    with pytest.raises(UserError, match=r"all 4 images in .* are those of the data already"):
        joined(train, folders / "labelled")


def test_weights_of_added_images_are_1(folders, train):
    train.weights = torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64)
    assert joined(train, folders / "more").weights.tolist() == [0.5, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_what_is_refused(folders, train, make_pairs):
    (folders / "empty").mkdir()
    with pytest.raises(UserError, match=r"data\.unlabelled: there are no images in"):
        joined(train, folders / "empty")
    with pytest.raises(UserError, match="not known before its images are read"):
        joined(WrappedSource(make_pairs(3), "mine", 3), folders / "more")
    stream = Source()
    stream.stream = True
    with pytest.raises(UserError, match="cannot be added to a stream"):
        joined(stream, folders / "more")
    (folders / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"data\.unlabelled: .*has no column of files"):
        joined(train, folders / "t.csv")


def test_no_files_have_no_sizes(folders, make_pairs):
    source = joined(WrappedSource(make_pairs(3, labels=np.arange(3)), "mine", 3), folders / "more")
    assert source.files() is None
    assert source.labels.tolist() == [0, 1, 2, -1, -1, -1]
