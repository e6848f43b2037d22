from __future__ import annotations

import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data.folder import open_folder
from kdcore.data.registered import WrappedSource
from kdcore.data.sampler import epoch_order
from kdcore.data.tar import open_tar
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed, UserError

AUGMENT = {"crop": "resized", "color_jitter": 0.3, "auto_augment": "rand-m9-mstd0.5", "random_erasing": 0.5}


@pytest.fixture
def source(image_folder):
    return open_folder(image_folder, "train", where="")


@pytest.fixture
def build(make_data, small_input, source):
    def built(*, of=source, batch_size=5, seed=0, num_classes=3, rank=0, world=1, views=1, **data):
        spec = make_data(**{"workers": 0, "augment": AUGMENT, **data})
        options = {"rank": rank, "world": world, "views": views}
        return build_train_data(
            of, spec, small_input, batch_size=batch_size, seed=seed, num_classes=num_classes, **options
        )

    return built


def content(batches):
    return [(b.images.numpy().tobytes(), b.target.tolist(), b.index.tolist()) for b in batches]


def test_an_epoch(build, source):
    data = build()
    assert (data.size, data.batch_size, data.batches_per_epoch) == (12, 5, 2)
    assert data.labels.tolist() == source.labels.tolist()
    assert data.labelled
    assert not data.stream
    batches = list(data.epoch(3))
    assert [tuple(batch.images.shape) for batch in batches] == [(5, 3, 16, 16)] * 2
    assert batches[0].images.dtype == torch.float32
    index = torch.cat([batch.index for batch in batches])
    assert index.tolist() == epoch_order(0, 3, 12)[:10].tolist()
    assert torch.cat([batch.target for batch in batches]).tolist() == source.labels[index].tolist()


# each process that is spawned imports torch again; test_sending.py has them
@pytest.mark.parametrize("start_method", ["fork", "forkserver"], indirect=True)
def test_workers_and_skip_change_nothing(build, start_method):
    alone, data = build(batch_size=3), build(batch_size=3, workers=2 if start_method == "fork" else 1)
    for epoch in (0, 1, 5):  # the same processes all the time
        expected = content(alone.epoch(epoch))
        assert content(data.epoch(epoch)) == expected
        for skip in range(5):
            assert content(data.epoch(epoch, skip=skip)) == expected[skip:]
    assert content(alone.epoch(0, skip=2)) == content(build(batch_size=3).epoch(0))[2:]


def test_the_next_epoch_is_begun_when_one_ends(build):
    data = build(batch_size=6, workers=1, in_memory=False)
    expected = content(build(batch_size=6).epoch(1))
    list(data.epoch(0))
    assert data._ahead is not None
    (begun, batches) = data._ahead
    assert begun == (1, 0)
    assert next(batches)[2].tolist() == epoch_order(0, 1, 12)[:6].tolist()
    data._ahead = None  # its first batch is gone
    assert content(data.epoch(1)) == expected
    assert content(data.epoch(2)) == content(build(batch_size=6).epoch(2))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_is_left_early_disturbs_nothing(build, workers):
    data = build(batch_size=2, workers=workers)
    next(iter(data.epoch(0)))
    assert content(data.epoch(1)) == content(build(batch_size=2).epoch(1))


def test_seeds_and_epochs(build):
    first = content(build().epoch(0))
    assert content(build().epoch(0)) == first
    assert content(build(seed=1).epoch(0)) != first
    data = build()
    zero, one = (
        {int(i): image for b in data.epoch(e) for i, image in zip(b.index, b.images, strict=True)}
        for e in (0, 1)
    )
    both = zero.keys() & one.keys()
    assert any(not torch.equal(zero[position], one[position]) for position in both)


def test_augmentation_depends_on_the_position_not_on_the_batch(build):
    def by_position(batch_size):
        return {
            int(i): image.numpy().tobytes()
            for b in build(batch_size=batch_size).epoch(2)
            for i, image in zip(b.index, b.images, strict=True)
        }

    assert by_position(3) == by_position(12)


@pytest.mark.parametrize("workers", [0, 1])
def test_global_generators_are_untouched(build, workers):
    def seed():
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)

    def draws():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    seed()
    expected = draws()
    seed()
    data = build(workers=workers)
    for epoch in range(2):
        list(data.epoch(epoch))
    assert draws() == expected


def test_processes_share_the_whole_batch(build):
    whole = list(build(batch_size=6).epoch(1))
    for rank in range(2):
        part = list(build(batch_size=6, rank=rank, world=2).epoch(1))
        rows = slice(3 * rank, 3 * rank + 3)
        assert len(part) == len(whole)
        for mine, all_of_it in zip(part, whole, strict=True):
            assert torch.equal(mine.images, all_of_it.images[rows])
            assert torch.equal(mine.target, all_of_it.target[rows])
            assert torch.equal(mine.index, all_of_it.index[rows])


def test_views(build):
    one, two = (next(iter(build(views=views).epoch(0))) for views in (1, 2))
    assert two.images.shape == (5, 2, 3, 16, 16)
    assert torch.equal(two.images[:, 0], one.images)
    assert not torch.equal(two.images[:, 1], one.images)


def test_train_samples(build, source):
    data = build(train_samples=6, batch_size=4)
    assert (data.size, data.batches_per_epoch) == (6, 1)
    assert sorted(data.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    (batch,) = data.epoch(0)
    assert batch.target.tolist() == data.labels[batch.index].tolist()
    assert batch.index.max() < 6
    few = build(train_samples=3, batch_size=64)
    assert (few.batch_size, few.batches_per_epoch) == (3, 1)
    assert few.labels.tolist() == data.labels[:3].tolist()


def test_unlabelled_and_unknown_labels(build, make_pairs):
    data = build(of=WrappedSource(make_pairs(6, labelled=False), "mine", None))
    assert (data.labels, data.labelled) == (None, False)
    assert next(iter(data.epoch(0))).target is None
    told = build(of=WrappedSource(make_pairs(6), "mine", None))
    assert told.labels is None
    assert sorted(next(iter(told.epoch(0))).target.tolist())[0] == 0


@pytest.mark.parametrize(
    ("labels", "said"),
    [([0, 1, -1], "has no label, and the first one has one"), ([-1, 1, 0], "has a label, and")],
)
def test_labels_of_some_images_have_to_be_known_before_they_are_read(build, make_pairs, labels, said):
    pairs = make_pairs(3)
    pairs._labels = labels
    with pytest.raises(RunFailed, match=rf"mine\[\d\] {said}.*needs an attribute 'labels'"):
        list(build(of=WrappedSource(pairs, "mine", 3), batch_size=3, skip_broken=True).epoch(0))
    pairs.labels = labels
    data = build(of=WrappedSource(pairs, "mine", 3), batch_size=3)
    assert (data.labels.tolist(), data.labelled, data.labelled_size) == (labels, True, 2)
    (batch,) = data.epoch(0)
    assert batch.target.tolist() == [labels[index] for index in batch.index.tolist()]


def test_errors_of_the_user(build, make_pairs):
    with pytest.raises(UserError, match=r"train\.batch_size"):
        build(batch_size=5, world=2)
    with pytest.raises(UserError, match=r"data\.train_samples: there are only 12"):
        build(train_samples=13)
    with pytest.raises(UserError, match=r"data\.num_classes"):
        build(num_classes=2)
    with pytest.raises(UserError, match=r"auto_augment"):
        build(augment={"auto_augment": "nonsense"})
    with pytest.raises(ValueError, match="an epoch has 2 batches"):
        next(build().epoch(0, skip=3))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_vanished_file_ends_the_run_with_its_name(build, source, workers):
    data = build(batch_size=12, workers=workers, in_memory=False)
    list(data.epoch(0))
    Path(source.name(7)).unlink()
    with pytest.raises(RunFailed) as caught:
        list(data.epoch(2))  # the processes may have read ahead in epoch 1
    message = str(caught.value)
    assert message.startswith(f"image 7 cannot be read: {source.name(7)}: ")
    assert "Traceback" not in message


@pytest.mark.parametrize("workers", [0, 2])
def test_a_label_out_of_range_is_found_while_reading(build, make_pairs, workers):
    data = build(of=WrappedSource(make_pairs(6, kinds=5), "mine", None), num_classes=3, workers=workers)
    with pytest.raises(RunFailed, match=r"mine\[\d\] has class \d, but there are only 3"):
        list(data.epoch(0))


def test_folder_and_tar_give_the_same(build, image_folder, tmp_path):
    path = tmp_path / "images.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(image_folder, arcname="front")
    tar = open_tar(path, "train", where="", dataset_where="")
    assert content(build(of=tar, workers=2).epoch(4)) == content(build().epoch(4))
