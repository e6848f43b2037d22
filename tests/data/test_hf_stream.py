"""Streams of Hugging Face's datasets, from Parquet files on the disk."""

from __future__ import annotations

import pytest

from kdcore.data.evaluate import build_eval_data
from kdcore.data.opening import open_split
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed, UserError
from tests.shards import image_bytes, write_parquet

pytest.importorskip("datasets", reason="streams of Hugging Face need the package datasets")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(root, sizes=(5, 7, 4, 8), images=image_bytes):
    first = 0
    for shard, size in enumerate(sizes):
        path = root / f"train-{shard:05}-of-{len(sizes):05}.parquet"
        write_parquet(path, range(first, first + size), images)
        first += size


@pytest.fixture
def opened(tmp_path, make_data, make_plugins, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "set"
    folder.mkdir()

    def of(where="data.train_split", **data):
        spec = make_data(dataset=f"hfids/{folder}", root=str(tmp_path / "cache"), **data)
        return open_split(spec, "train", plugins=make_plugins(), where=where)

    of.folder = folder
    return of


def build(source, make_data, small_input, workers=0, **options):
    data = make_data(augment={"crop": "resized"}, workers=workers)
    return build_train_data(source, data, small_input, batch_size=4, seed=0, num_classes=3, **options)


def content(batches):
    return [(batch.images.numpy().tobytes(), batch.target.tolist()) for batch in batches]


def test_a_stream_in_shards(opened, make_data, small_input):
    write(opened.folder)
    source = opened(epoch_samples=24)
    assert (source.stream, len(source), source.classes) == (True, 24, ("ant", "bee", "cat"))
    assert source.num_shards == 4
    assert source.reported == 0
    sizes = [path.stat().st_size for path in sorted(opened.folder.iterdir())]
    assert source.shard_names == tuple(
        f"train-{shard:05}-of-00004.parquet {size}" for shard, size in enumerate(sizes)
    )
    one = content(build(source, make_data, small_input).epoch(0))
    assert len(one) == 6
    helped = build(source, make_data, small_input, workers=2)
    assert content(helped.epoch(0)) == one
    assert content(helped.epoch(0, skip=4)) == one[4:]
    assert content(helped.epoch(1)) != one
    measured = build_eval_data(opened("data.eval_split"), make_data(), small_input, batch_size=5)
    targets = [label for _, target in measured for label in target.tolist()]
    assert targets == [number % 3 for number in range(24)]
    assert (measured.size, measured.total) == (None, None)


def test_without_labels_their_column_may_hold_lists(opened, make_data, make_plugins, small_input, tmp_path):
    column = pa.array([{"bytes": image_bytes(number), "path": None} for number in range(4)])
    table = pa.table({"image": column, "label": [["ant"], [], ["bee", "cat"], None]})
    parquet.write_table(table, opened.folder / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match="lists, several labels"):
        opened(epoch_samples=4)
    data = make_data(dataset=f"hfids/{opened.folder}", root=str(tmp_path / "cache"), epoch_samples=4)
    source = open_split(data, "train", plugins=make_plugins(), where="data.train_split", labels=False)
    assert (source.labelled, source.classes, source.num_classes) == (False, None, None)
    (batch,) = build(source, make_data, small_input).epoch(0)
    assert (len(batch.images), batch.target) == (4, None)


def test_errors(opened, make_data, small_input):
    write(opened.folder, (4,), lambda number: b"no image" if number == 2 else image_bytes(number))
    with pytest.raises(UserError, match=r"(?s)does not report its number of samples.*data\.epoch_samples"):
        build(opened(), make_data, small_input)
    with pytest.raises(RunFailed, match=r"image \d+ cannot be read: hfids/"):
        list(build(opened(epoch_samples=4), make_data, small_input).epoch(0))
    parquet.write_table(pa.table({"pixels": [1]}), opened.folder / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match="cannot be opened: it has no column image"):
        opened()
