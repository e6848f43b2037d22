"""Hugging Face datasets with several labels an image, and of chosen columns; the library itself reads them."""

from __future__ import annotations

import io

import pytest
import torch
from timm.data.dataset import ImageDataset

from kdcore import UserError, validate
from kdcore.data import open_split
from kdcore.data.timm_source import ReaderSource
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec
from tests.hub_reader import HubReader

LABELS = [[0, 2], [1], [], None, [2]]
ROWS = [[1, 0, 1], [0, 1, 0], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]


def encoded(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def read(make_picture):
    files = [encoded(make_picture(number)) for number in range(5)]

    def source(column, names=("cat", "dog", "fox"), **given):
        reader = HubReader(files, column, {name: number for number, name in enumerate(names)})
        return ReaderSource(ImageDataset(None, reader=reader), "hfds/x", **given)

    return source


def test_lists_are_several_labels(read):
    source = read(LABELS)
    assert (source.classes, source.num_classes) == (("cat", "dog", "fox"), 3)
    assert source.label_sets.targets(source.labels).tolist() == ROWS
    assert [source[index][1] for index in range(5)] == source.labels.tolist()
    assert read(LABELS, names=(), num_classes=3).label_sets.targets(source.labels).tolist() == ROWS


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (LABELS, {"names": ()}, "have no names: set data.num_classes"),
        ([[0], [3], [], [], []], {}, r"has \[3\]; several labels an image are a list of indices from 0 to 2"),
        ([[0], 1, [], [], []], {}, "has 1; several labels"),
    ],
)
def test_what_is_no_list_of_labels(read, labels, given, message):
    with pytest.raises(ValueError, match=message):
        read(labels, **given)


def test_labels_that_are_not_read(read):
    source = read(LABELS, labels=False)
    assert (source.labelled, source.num_classes, source.labels.tolist()) == (False, None, [-1] * 5)
    assert source[0][1] == -1


@pytest.fixture
def hub(tmp_path, make_picture, monkeypatch):
    """A dataset on the disk, and a function that opens it."""
    datasets = pytest.importorskip("datasets", reason="needs the library of Hugging Face datasets")
    datasets.disable_progress_bars()
    lists = datasets.Sequence(datasets.ClassLabel(names=["cat", "dog", "fox"]))
    columns = {"image": [make_picture(n) for n in range(5)], "labels": LABELS, "fine": [0, 1, 2, 0, 1]}
    features = datasets.Features(
        {"image": datasets.Image(), "labels": lists, "fine": datasets.Value("int64")}
    )
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "train-00000-of-00001.parquet")

    def opened(labels=True, **options):
        name = f"hfds/{tmp_path / 'set'}"
        data = DataSpec(dataset=name, root=str(tmp_path / "cache"), options=options)
        return open_split(data, "train", plugins=get_plugins(), where="data.train_split", labels=labels)

    return opened


def test_the_columns_of_a_real_dataset(hub):
    source = hub()  # it has no column 'label', but 'labels'
    assert source.classes == ("cat", "dog", "fox")
    assert source.label_sets.targets(source.labels).tolist() == ROWS
    fine = hub(label="fine")
    assert (fine.labels.tolist(), fine.num_classes, fine.label_sets) == ([0, 1, 2, 0, 1], 3, None)
    unread = hub(labels=False, label=None)
    assert torch.equal(unread.labels, torch.full((5,), -1))
    assert unread[4][0].size == source[4][0].size
    with pytest.raises(UserError) as caught:
        hub(label="fien")
    (found,) = caught.value.problems
    assert (found.where, found.nearest) == ("data.options.label", "fine")
    assert "has no column 'fien'" in found.message


def test_wrong_options(spec_file, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda distribution: "99.0")  # they are installed
    with pytest.raises(UserError) as caught:
        validate(spec_file(data={"dataset": "hfds/some/one", "options": {"lable": "x"}}))
    (found,) = caught.value.problems
    assert (found.where, found.nearest) == ("data.options.lable", "label")
