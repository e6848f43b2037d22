from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm.data.dataset_factory
import torch

from kdcore.data.evaluate import build_eval_data
from kdcore.data.hidden_labels import hide_labels
from kdcore.data.timm_source import open_timm
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed, UserError


class Stream:
    """As timm's IterableImageDataset: shuffled by seed and epoch when training."""

    def __init__(self, pictures, options, size, classes, fail):
        self.pictures, self.options, self.fail = pictures, options, fail
        self.reader = SimpleNamespace(num_samples=size, class_to_idx=classes)
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = list(range(len(self.pictures)))
        if self.options["is_training"]:
            generator = torch.Generator().manual_seed(self.options["seed"] + self.epoch)
            order = torch.randperm(len(order), generator=generator).tolist()
        for count, index in enumerate(order):
            if self.fail is not None and count == 4:
                raise self.fail
            label = [index % 3, 1] if self.options.get("several") else index % 3
            yield self.pictures[index], None if index == self.options.get("unlabelled") else label


@pytest.fixture
def open_stream(monkeypatch, make_picture, make_data):
    monkeypatch.setattr("importlib.metadata.version", lambda distribution: "99.0")  # they are installed

    def opened(count=10, size=10, classes=None, fail=None, unlabelled=None, several=False, **data):
        pictures = [make_picture(number) for number in range(count)]

        def create(**options):
            return Stream(
                pictures, {**options, "unlabelled": unlabelled, "several": several}, size, classes or {}, fail
            )

        monkeypatch.setattr(timm.data.dataset_factory, "create_dataset", create)
        spec = make_data(dataset="tfds/some/one", **{"num_classes": 3, **data})
        return open_timm(spec, "train", where="data.train_split", dataset_where="data.dataset")

    return opened


@pytest.fixture
def build(make_data, small_input):
    def built(source, batch_size=4, seed=0, num_classes=3, views=1, world=1, labels_read=False, **data):
        spec = make_data(augment={"crop": "resized"}, **data)
        return build_train_data(
            source,
            spec,
            small_input,
            batch_size=batch_size,
            seed=seed,
            num_classes=num_classes,
            views=views,
            world=world,
            labels_read=labels_read,
        )

    return built


def content(batches):
    return [(batch.images.numpy().tobytes(), batch.target.tolist()) for batch in batches]


def test_source(open_stream):
    source = open_stream()
    assert source.stream
    assert (len(source), source.num_classes, source.labels, source.classes) == (10, 3, None, None)
    with pytest.raises(TypeError, match="is a stream"):
        source[0]
    named = open_stream(classes={"b": 1, "a": 0}, num_classes=None)
    assert (named.classes, named.num_classes) == (("a", "b"), 2)
    with pytest.raises(
        UserError, match=r"data\.num_classes: tfds/some/one does not report its number of classes"
    ):
        open_stream(num_classes=None)


def test_training(open_stream, build):
    data = build(open_stream())
    assert (data.size, data.batches_per_epoch, data.stream, data.labels) == (10, 2, True, None)
    batches = list(data.epoch(0))
    assert [batch.images.shape for batch in batches] == [(4, 3, 16, 16)] * 2
    assert batches[0].index is None
    assert content(data.epoch(0)) == content(batches)
    assert content(data.epoch(1)) != content(batches)
    assert content(data.epoch(0, skip=1)) == content(batches)[1:]
    assert content(data.epoch(0, skip=2)) == []
    assert content(build(open_stream(), seed=1).epoch(0)) != content(batches)


def test_workers_change_nothing(open_stream, build):
    source = open_stream()
    assert content(build(source, workers=0).epoch(2)) == content(build(source, workers=4).epoch(2))


def test_a_share_that_ends_early_starts_again(open_stream, build):
    batches = list(build(open_stream(count=5, size=16)).epoch(0))
    assert [len(batch.target) for batch in batches] == [4] * 4


def test_views(open_stream, build):
    source = open_stream()
    one, two = (next(iter(build(source, views=views).epoch(0))) for views in (1, 2))
    assert torch.equal(two.images[:, 0], one.images)
    assert not torch.equal(two.images[:, 1], one.images)


def test_evaluation(open_stream, make_data, small_input):
    data = build_eval_data(open_stream(), make_data(), small_input, batch_size=4)
    assert (data.size, data.total) == (10, 10)
    for _ in range(2):
        assert [target.tolist() for _, target in data] == [[0, 1, 2, 0], [1, 2, 0, 1], [2, 0]]


def test_errors(open_stream, build):
    with pytest.raises(
        UserError, match=r"data\.train_split: tfds/some/one does not report its number of samples"
    ):
        build(open_stream(size=0))
    longer = open_stream(size=0, epoch_samples=16)
    assert build(longer).batches_per_epoch == 4
    with pytest.raises(UserError, match=r"data\.in_memory: the images of a stream cannot be kept in memory"):
        build(open_stream(), in_memory=True)
    with pytest.raises(UserError, match=r"data\.train_samples: a stream has no subset"):
        build(open_stream(), train_samples=3)
    with pytest.raises(UserError, match=r"train\.batch_size"):
        build(open_stream(), world=3)
    with pytest.raises(RunFailed, match="has class 2, but there are only 2"):
        list(build(open_stream(), num_classes=2).epoch(0))
    with pytest.raises(RunFailed, match=r"tfds/some/one: .*OSError: connection lost") as caught:
        list(build(open_stream(fail=OSError("connection lost"))).epoch(0))
    assert "Traceback" not in str(caught.value)
    with pytest.raises(RunFailed, match="gave no samples"):
        list(build(open_stream(count=0)).epoch(0))


def test_a_sample_without_a_label_is_refused_where_labels_are_read(open_stream, build):
    with pytest.raises(
        RunFailed, match=r"sample \d of tfds/some/one has no label\. .*task\.weight 0"
    ) as caught:
        list(build(open_stream(unlabelled=2), labels_read=True, batch_size=10).epoch(0))
    assert caught.value.exit_code == 2
    (batch,) = build(open_stream(unlabelled=2), batch_size=10).epoch(0)
    assert batch.target.tolist().count(-1) == 1


def test_a_sample_with_several_labels_is_refused_with_what_to_do(open_stream, build):
    with pytest.raises(RunFailed, match=r"has several labels, \[\d, 1\]\. .*come from a table") as caught:
        list(build(open_stream(several=True)).epoch(0))
    assert caught.value.exit_code == 2


def test_without_labels_none_of_them_is_read(open_stream, build, make_data, small_input):
    source = hide_labels(open_stream(several=False))
    (batch, _) = build(source, num_classes=1).epoch(0)
    assert batch.target is None
    evaluation = build_eval_data(source, make_data(), small_input, batch_size=10)
    assert {label for _, target in evaluation for label in target.tolist()} == {-1}


@pytest.mark.parametrize(
    ("data", "where"),
    [({"labelled_fraction": 0.5}, "labelled_fraction"), ({"sampling": "weights"}, "sampling")],
)
def test_what_would_have_to_be_known_before_a_stream_is_read(open_stream, build, data, where):
    with pytest.raises(UserError, match=rf"data\.{where}: .* of a stream .* not known before it is read"):
        build(open_stream(), **data)
