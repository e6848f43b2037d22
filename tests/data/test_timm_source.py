from __future__ import annotations

import gzip
import io
import pickle
import struct

import pytest
import timm.data.dataset_factory
from timm.data.dataset import ImageDataset

from kdcore.data.timm_source import ReaderSource, open_timm
from kdcore.errors import RunFailed, UserError
from tests.hub_reader import HubReader


def opened(data, split="train"):
    return open_timm(data, split, where="data.train_split", dataset_where="data.dataset")


@pytest.fixture
def files(make_picture):
    found = []
    for number in range(3):
        file = io.BytesIO()
        make_picture(number).save(file, "PNG")
        found.append(file.getvalue())
    return found


def test_mnist_is_read_offline(tmp_path, make_data, capsys):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train", "t10k"):
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, 5, 4, 4) + bytes(range(80))
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, 5) + bytes([3, 1, 4, 1, 5])
        for part, content in (("images-idx3", images), ("labels-idx1", labels)):
            (raw / f"{name}-{part}-ubyte").write_bytes(content)
            (raw / f"{name}-{part}-ubyte.gz").write_bytes(gzip.compress(content))
    source = opened(make_data(dataset="torch/mnist", root=str(tmp_path)))
    assert source.labels.tolist() == [3, 1, 4, 1, 5]
    assert source.num_classes == 10
    assert source[1][0].tobytes() == bytes(range(16, 32))
    assert capsys.readouterr().out == ""


def test_torch_folders_are_folders(image_folder, make_data):
    source = opened(make_data(dataset="torch/image_folder", root=str(image_folder)), "val")
    assert source.classes == ("ant", "bee", "cat")
    with pytest.raises(UserError, match="does not have a folder for this split"):
        opened(make_data(dataset="torch/folder", root=str(image_folder)), "fold1")
    with pytest.raises(UserError, match=r"data\.root"):
        opened(make_data(dataset="torch/folder"))


def test_what_timm_says_becomes_an_error_of_the_user(tmp_path, make_data, monkeypatch, own_cache):
    def offline(**options):
        seen.update(options)
        print("for the terminal")
        raise OSError("no network")

    seen: dict[str, object] = {}
    monkeypatch.setattr(timm.data.dataset_factory, "create_dataset", offline)
    with pytest.raises(
        UserError, match=r"data\.dataset: torch/cifar10, split 'train', cannot be opened: no network"
    ):
        opened(make_data(dataset="torch/cifar10"))
    assert seen["trust_remote_code"] is False
    assert seen["download"] is True
    assert seen["root"] == str(own_cache / "datasets")


def test_hub_datasets(monkeypatch, make_data, files):
    dataset = ImageDataset(None, reader=HubReader(files, [1, 0, 1], {"cat": 0, "ant": 1}))
    monkeypatch.setattr("importlib.metadata.version", lambda distribution: "99.0")  # they are installed
    monkeypatch.setattr(timm.data.dataset_factory, "create_dataset", lambda **_: dataset)
    source = opened(make_data(dataset="hfds/some/one"))
    assert isinstance(source, ReaderSource)
    assert source.classes == ("cat", "ant")
    assert source.labels.tolist() == [1, 0, 1]
    assert [label for _, label in source] == [1, 0, 1]
    assert source.name(2) == "hfds/some/one[2]"
    assert pickle.loads(pickle.dumps(source))[0][1] == 1


def test_labels_are_whole_numbers(files):
    source = ReaderSource(ImageDataset(None, reader=HubReader(files, [1.0, None, 2], {})), "hfds/x")
    assert source.labels.tolist() == [1, -1, 2]
    for wrong in (0.5, float("nan"), "2"):
        with pytest.raises(ValueError, match=f"in its column 'label' {wrong!r} is not a class index"):
            ReaderSource(ImageDataset(None, reader=HubReader(files, [1, 0, wrong], {})), "hfds/x")


def test_no_other_image_takes_the_place_of_a_broken_one(files):
    files[1] = files[1][:100]
    source = ReaderSource(ImageDataset(None, reader=HubReader(files, [1, None, 4], {})), "hfds/x")
    assert source.classes is None
    assert source.num_classes == 5
    with pytest.raises(RunFailed, match=r"image 1 cannot be read: hfds/x\[1\]"):
        source[1]
    with pytest.raises(IndexError):
        source[3]
