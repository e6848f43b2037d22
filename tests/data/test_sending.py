"""Loader processes that are started in any way see the same images with the same labels."""

from __future__ import annotations

import io
import tarfile
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data.evaluate import build_eval_data
from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.samples import KeyedSamples
from kdcore.data.stream import StreamBatches
from kdcore.data.tar import open_tar
from kdcore.data.train import build_train_data
from kdcore.data.transforms import eval_transform


@pytest.fixture
def folder(image_folder):
    return open_folder(image_folder, "train", where="")


@pytest.fixture
def tar(image_folder, tmp_path):
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(image_folder, arcname=".")
    return open_tar(path, "train", where="", dataset_where="")


@pytest.fixture
def built(make_data, small_input):
    def build(source, kind="train", **data):
        spec = make_data(**{"workers": 0, "augment": {"crop": "pad", "padding": 2}, **data})
        if kind == "eval":
            return build_eval_data(source, spec, small_input, batch_size=4)
        return build_train_data(source, spec, small_input, batch_size=4, seed=3, num_classes=3, views=2)

    return build


def content(data, epochs=2):
    if hasattr(data, "epoch"):
        batches = [batch for epoch in range(epochs) for batch in data.epoch(epoch)]
        return [(b.images.numpy().tobytes(), b.target.tolist(), b.index.tolist(), b.broken) for b in batches]
    return [(images.numpy().tobytes(), target.tolist()) for images, target in data]


def test_training(start_method, folder, built):
    Path(folder.name(2)).write_bytes(b"")
    settings = {"skip_broken": True, "train_samples": 9}
    expected = content(built(folder, in_memory=False, **settings))
    assert any(broken for *_, broken in expected)
    data = built(folder, workers=1, **settings)
    assert (data.kept_bytes > 0) is (start_method == "fork")  # others cannot fill this process's memory
    assert content(data) == expected


def test_evaluation_of_a_tar(start_method, tar, built):
    expected = content(built(tar, "eval"))
    labels = tar.labels.clone()
    assert content(built(tar, "eval", workers=1)) == expected
    assert tar.labels.tolist() == labels.tolist() == [tar[index][1] for index in range(len(tar))]


class Viewed:
    """A dataset that reads its labels through a NumPy view of a tensor, as a plugin's may."""

    def __init__(self, pictures):
        self.pictures = pictures
        self.targets = torch.arange(12) % 3
        self.view = self.targets.numpy()

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.pictures[index], int(self.view[index])


def test_views_that_a_dataset_keeps_stay_right(make_picture, make_data, small_input, folder, tar):
    steps = eval_transform(make_data(), small_input)
    viewed = WrappedSource(Viewed([make_picture(number) for number in range(12)]), "viewed", 3)
    for source in (folder, tar, viewed):
        expected = [source[index][1] for index in range(12)]
        samples = KeyedSamples(source, np.arange(12)[::-1].copy(), steps, seed=0)
        file = io.BytesIO()
        ForkingPickler(file).dump(samples)
        junk = [torch.full((12,), 7_777_777) for _ in range(50)]  # takes the place of what was given free
        copy = ForkingPickler.loads(file.getvalue())
        assert [source[index][1] for index in range(12)] == expected
        assert not source.labels.is_shared()
        assert [copy.source[index][1] for index in range(12)] == expected
        assert [int(copy[(0, position)][1]) for position in range(12)] == expected[::-1]
        del junk


def test_no_source_keeps_a_view_of_its_labels(folder, tar):
    for source in (folder, tar):
        arrays = [value for value in vars(source).values() if isinstance(value, np.ndarray)]
        assert arrays
        assert not any(np.shares_memory(array, source.labels.numpy()) for array in arrays)


def test_streams_are_sent_by_value_too(make_picture, make_data, small_input):
    labels = torch.arange(4)
    reader = [(make_picture(number), label) for number, label in enumerate(labels.numpy())]
    stream = StreamBatches(
        reader, "wds/x", 2, eval_transform(make_data(), small_input), 1, None, (0,), cycle=False
    )
    stream.labels = labels
    file = io.BytesIO()
    ForkingPickler(file).dump(stream)
    assert not labels.is_shared()
    copy = ForkingPickler.loads(file.getvalue())
    assert isinstance(copy, StreamBatches)
    for (images, target), (others, expected) in zip(copy, stream, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(target, expected)
