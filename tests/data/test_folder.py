from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from kdcore.data.folder import open_folder
from kdcore.errors import RunFailed, UserError


def test_labelled_split(image_folder, make_picture):
    source = open_folder(image_folder, "train", where="data.train_split")
    assert source.classes == ("ant", "bee", "cat")
    assert source.num_classes == 3
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert source.labelled
    assert not source.stream
    image, label = source[5]
    assert image.tobytes() == make_picture(5).tobytes()
    assert label == 1
    assert Path(source.name(5)) == image_folder / "train" / "bee" / "1.png"
    assert len(list(source)) == 12


def test_same_order_as_torchvision(tmp_path, make_picture):
    for name in ("b/x/1", "b/x-y/0", "b/2", "a/10", "a/9"):
        path = tmp_path / "train" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_picture(0).save(path)
    theirs = ImageFolder(str(tmp_path / "train")).samples
    ours = open_folder(tmp_path, "train", where="")
    assert [(ours.name(i), int(ours.labels[i])) for i in range(len(ours))] == theirs


def test_synonym_and_no_split(image_folder):
    source = open_folder(image_folder, "test", where="")
    assert (len(source), source.split) == (6, "val")
    assert len(open_folder(image_folder / "val", "", where="")) == 6


def test_unlabelled(tmp_path, make_picture):
    (tmp_path / "train").mkdir()
    for number in range(3):
        make_picture(number).save(tmp_path / "train" / f"{number}.png")
    source = open_folder(tmp_path, "train", where="")
    assert not source.labelled
    assert source.classes is source.num_classes is None
    assert source.labels.tolist() == [-1, -1, -1]
    assert source[2][1] == -1
    assert len(open_folder(tmp_path / "train", "", where="")) == 3


def test_errors_of_the_user(image_folder, tmp_path):
    with pytest.raises(
        UserError, match=r'data\.train_split: .*does not have a folder for this split \(got "fold1"\)'
    ):
        open_folder(image_folder, "fold1", where="data.train_split")
    with pytest.raises(UserError, match="contains splits"):
        open_folder(image_folder, "", where="data.train_split")
    (image_folder / "train" / "dog").mkdir()
    with pytest.raises(UserError, match="class folders without images: dog"):
        open_folder(image_folder, "train", where="data.train_split")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="neither images nor class folders"):
        open_folder(tmp_path / "empty", "train", where="data.train_split")
    with pytest.raises(UserError, match="cannot be listed"):
        open_folder(tmp_path / "nowhere", "train", where="data.train_split")


@pytest.mark.parametrize("split", ["train", ""])
def test_a_folder_of_litdata(tmp_path, split):
    folder = tmp_path / split
    folder.mkdir(exist_ok=True)
    index = folder / "index.json"
    for content in ("[]", '{"chunks": []}', '{"chunks": [{"filename": "chunk-0-0.bin"}]}'):
        index.write_text(content)
        with pytest.raises(UserError, match="neither images nor class folders"):
            open_folder(tmp_path, split, where="data.train_split")
    (folder / "chunk-0-0.bin").write_bytes(b"chunk")
    with pytest.raises(UserError, match=r"(?s)data\.train_split: .*chunks of LitData.*'wds/'.*'parquet/'"):
        open_folder(tmp_path, split, where="data.train_split")


def test_errors_while_reading(image_folder):
    source = open_folder(image_folder, "train", where="")
    Path(source.name(4)).unlink()
    with pytest.raises(RunFailed, match=r"image 4 cannot be read: .*bee/0\.png: .*No such file"):
        source[4]
    Path(source.name(5)).write_bytes(b"no image")
    with pytest.raises(RunFailed, match=r"image 5 cannot be read: .*bee/1\.png: the file is text"):
        source[5]
    assert source[6][1] == 1


def test_goes_to_other_processes(image_folder):
    source = open_folder(image_folder, "train", where="")
    copy = pickle.loads(pickle.dumps(source))
    assert copy[7][0].tobytes() == source[7][0].tobytes()
