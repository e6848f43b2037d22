"""Webdatasets, Parquet and Arrow: the same samples with any number of loader processes, and from any place on."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.data import web_shards
from kdcore.data.evaluate import build_eval_data
from kdcore.data.fingerprint import split_fingerprint
from kdcore.data.opening import open_split
from kdcore.data.shard_files import expand
from kdcore.data.shards import ShardSource
from kdcore.data.subset import known_labels
from kdcore.data.train import build_train_data
from kdcore.errors import RunFailed, UserError
from tests.shards import image_bytes, write_info, write_tar, write_tars

SIZES = (5, 7, 4, 8)


@pytest.fixture
def opened(tmp_path, make_data, make_plugins):
    def of(dataset="wds/", split="train", root=tmp_path, labels=True, **data):
        spec = make_data(dataset=dataset, root=str(root), **data)
        return open_split(spec, split, plugins=make_plugins(), where="data.train_split", labels=labels)

    return of


@pytest.fixture
def build(make_data, small_input):
    def built(source, batch_size=6, world=1, rank=0, num_classes=3, **data):
        spec = make_data(augment={"crop": "resized"}, **{"in_memory": False, "workers": 0, **data})
        return build_train_data(
            source,
            spec,
            small_input,
            batch_size=batch_size,
            seed=0,
            num_classes=num_classes,
            world=world,
            rank=rank,
        )

    return built


def content(batches):
    return [
        (batch.images.numpy().tobytes(), batch.target.tolist(), batch.index.tolist()) for batch in batches
    ]


def write_parquet(path: Path, count: int = 10, group: int = 4, **columns):
    pa = pytest.importorskip("pyarrow")
    images = pa.array(
        [{"bytes": image_bytes(number), "path": f"{number}.png"} for number in range(count)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": images, "label": [number % 3 for number in range(count)], **columns})
    names = b'{"info": {"features": {"label": {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"}}}}'
    table = table.replace_schema_metadata({b"huggingface": names})
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=group)
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=group)


# -- webdatasets -----------------------------------------------------------------------------------------------


def test_a_webdataset(tmp_path, opened):
    write_tars(tmp_path, sizes=SIZES)
    source = opened()
    assert isinstance(source, ShardSource)
    assert (len(source), source.num_classes, source.stream, source.classes) == (24, 3, False, None)
    assert source.labels.tolist() == [number % 3 for number in range(24)]
    assert source.shards.sizes.tolist() == list(SIZES)
    for index in (0, 4, 5, 23):
        image, label = source[index]
        assert label == index % 3
        assert source.content(index) == image_bytes(index)
        assert np.asarray(image).shape == (10, 12, 3)
    assert (source.name(0), source.name(6)) == ("train-000.tar[0]", "train-001.tar[1]")
    with pytest.raises(IndexError):
        source[24]


def test_workers_change_nothing(tmp_path, opened, build):
    write_tars(tmp_path, sizes=SIZES)
    source = opened()
    one = [content(build(source, workers=0).epoch(epoch)) for epoch in (0, 1)]
    for workers in (1, 2):
        data = build(source, workers=workers)
        assert [content(data.epoch(epoch)) for epoch in (0, 1)] == one
    assert one[0] != one[1]
    assert sorted(index for _, _, batch in one[0] for index in batch) == list(range(24))
    halves = [content(build(source, world=2, rank=rank).epoch(0)) for rank in (0, 1)]
    assert [left[2] + right[2] for left, right in zip(*halves, strict=True)] == [each[2] for each in one[0]]


def test_no_image_before_the_place_is_read_again(tmp_path, opened, build, monkeypatch):
    write_tars(tmp_path, sizes=SIZES)
    whole = content(build(opened()).epoch(3))
    source, read = opened(), []
    get = ShardSource.__getitem__

    def counted(self, index):
        read.append(index)
        return get(self, index)

    monkeypatch.setattr(ShardSource, "__getitem__", counted)
    assert content(build(source).epoch(3, skip=2)) == whole[2:]
    assert sorted(read) == sorted(index for _, _, batch in whole[2:] for index in batch)


def test_lengths_of_shards_are_taken_from_the_info(tmp_path, opened, monkeypatch, build):
    write_tars(tmp_path, sizes=SIZES)
    write_info(tmp_path, "train", SIZES)
    scanned = []
    index = web_shards._index
    monkeypatch.setattr(web_shards, "_index", lambda *a: scanned.append(a[0].name) or index(*a))
    source = opened(num_classes=3)
    assert (len(source), source.labels, source.labelled, scanned) == (24, None, True, ["train-000.tar"])
    assert len(content(build(source).epoch(0))) == 4
    assert known_labels(source).tolist() == [number % 3 for number in range(24)]
    with pytest.raises(UserError, match=r"data\.num_classes: wds/ does not report its number of classes"):
        opened()
    hidden = opened(labels=False)
    assert (hidden.labelled, hidden.num_classes, hidden.shards.sizes.tolist()) == (False, None, list(SIZES))
    write_info(tmp_path, "train", (5, 7, 4, 9))
    with pytest.raises(RunFailed, match=r"the shard train-003\.tar has 8 samples, and 9 when .* _info\.json"):
        opened(num_classes=3)[24]
    write_info(tmp_path, "train", (6, 7, 4, 8))
    with pytest.raises(UserError, match=r"data\.dataset: the shard train-000\.tar has 5 samples, and 6 when"):
        opened(num_classes=3)


def test_an_index_is_kept(tmp_path, opened, monkeypatch):
    write_tars(tmp_path)
    first = opened()
    monkeypatch.setattr(web_shards, "_index", lambda *a: pytest.fail("read again"))
    again = opened()
    assert again.labels.tolist() == first.labels.tolist()
    assert again.content(9) == first.content(9)
    monkeypatch.undo()
    write_tar(tmp_path / "train-000.tar", range(6))
    assert len(opened()) == 25


def test_where_labels_are(tmp_path, opened):
    write_tar(tmp_path / "train-000.tar", range(6), label="class", n1=None, n2=None)
    write_info(tmp_path, "train", (6,), alt_label="class")
    assert [opened(num_classes=3)[index][1] for index in range(6)] == [0, -1, -1, 0, 1, 2]
    (tmp_path / "_info.json").unlink()
    write_tar(tmp_path / "bad.tar", range(3), n1="cat")
    with pytest.raises(UserError, match=r"images/0001: its '\.cls' file is not a class index: 'cat'"):
        opened(split="bad")
    write_tar(tmp_path / "cut.tar", range(3), label="class", n1=2.0)
    write_info(tmp_path, "cut", (), alt_label="class", filenames=["cut.tar"], shard_lengths=[3])
    assert opened(split="cut", num_classes=4)[1][1] == 2
    write_tar(tmp_path / "cut.tar", range(3), label="class", n1=3.7)
    with pytest.raises(UserError, match=r"images/0001: the field 'class' .* is not a class index: '.*3\.7"):
        opened(split="cut", num_classes=4)
    (tmp_path / "_info.json").unlink()
    write_tar(tmp_path / "none.tar", range(3), n0=None, n1=None, n2=None)
    source = opened(split="none")
    assert (source.labelled, source.num_classes, source[1][1]) == (False, None, -1)


def test_splits(tmp_path, opened):
    write_tars(tmp_path, "train", (3, 4))
    write_tars(tmp_path / "val", "part", (2,))
    write_tar(tmp_path / "packed-0.tar.gz", range(2), "w:gz")
    assert [len(opened(split=split)) for split in ("train", "val", "packed")] == [7, 2, 2]
    assert len(opened(split="train-{000..001}.tar|7")) == 7
    assert len(opened(split="{train-001,val/part-000}.tar")) == 6
    with pytest.raises(UserError, match=r"(?s)1 of 3 shards are not in .*train-002\.tar"):
        opened(split="train-{000..002}.tar")
    with pytest.raises(UserError, match=r"(?s)data\.train_split: there are no shards.*There are .*train-000"):
        opened(split="test")
    with pytest.raises(UserError, match=r"data\.root: a webdataset is read from a local folder"):
        opened(root=tmp_path / "nothing")


def test_damaged_shards(tmp_path, opened):
    (tmp_path / "train-0.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UserError, match=r"data\.dataset: .*train-0\.tar"):
        opened()
    with tarfile.open(tmp_path / "train-0.tar", "w"):
        pass
    with pytest.raises(UserError, match="have no samples"):
        opened()
    (tmp_path / "_info.json").write_text('{"splits": {"train": {"filenames": 3}}}')
    with pytest.raises(UserError, match=r"_info\.json has no splits with 'filenames'"):
        opened()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (0, r"it is truncated: it ends after images/0002\.cls, without the end mark"),
        (100, "it is truncated"),
        (600, r"it is truncated: it ends within images/0003\.png"),
        (None, r"it is damaged: the data after images/0002\.cls is not a member"),
    ],
)
def test_a_part_of_a_shard_is_not_a_shorter_one(tmp_path, opened, own_cache, place, told):
    path = tmp_path / "train-000.tar"
    write_tar(path, range(6))
    with tarfile.open(path) as archive:
        start = archive.getmember("images/0003.png").offset
    data = path.read_bytes()
    if place is None:
        path.write_bytes(data[: start + 148] + b"\xff" * 8 + data[start + 156 :])
    else:
        path.write_bytes(data[: start + place])
    for _ in range(2):  # nothing is kept in the cache
        with pytest.raises(UserError, match=rf"data\.dataset: the shard .*train-000\.tar.*{told}"):
            opened()
    assert not list(own_cache.glob("shards/*"))


def test_images_with_other_names_are_counted(tmp_path, opened):
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for name in ("a.png", "b_0.5.png", "b_0.5.cls", "c.gif", "d.png", "d.depth.png", "e.txt", "._f.png"):
            member = tarfile.TarInfo(f"x/{name}")
            content = b"1" if name.endswith("cls") else image_bytes(0)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for _ in range(2):  # the second time from the cache
        source = opened()
        assert len(source) == 2
        (note,) = source.notes
        assert "split 'train': left out: 2 files (the first is train.tar:x/b_0.5.png): " in note
        assert ".jpg, .jpeg, .png" in note
    with tarfile.open(tmp_path / "none.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("c.gif"))
    with pytest.raises(UserError, match=r"(?s)have no samples.*left out: 1 file \(none\.tar:c\.gif\)"):
        opened(split="none")


def test_samples_without_an_image_that_is_read_are_counted(tmp_path, opened):
    names = ("a.png", "a.cls", "b.cls", "b.heic", "c.flac", "d.cls", "e.json", "e.txt", "README")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            content = b"1" if name.endswith("cls") else image_bytes(0)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    source = opened()
    assert len(source) == 1
    assert "left out: 3 files (the first is train.tar:b.heic): " in source.notes[0]


def test_joined_tars_are_named(tmp_path, opened):
    write_tars(tmp_path, sizes=(3, 3))
    first, second = (tmp_path / f"train-{number:03}.tar" for number in (0, 1))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    for _ in range(2):  # the second time from the cache
        source = opened()
        assert len(source) == 6
        (note,) = source.notes
        assert (
            "split 'train': train-000.tar: there is more data after the end of the tar, which is not read"
            in note
        )


def test_names(tmp_path, opened):
    write_tars(tmp_path, sizes=(3, 3))
    before = split_fingerprint(opened())
    assert before == split_fingerprint(opened())
    write_tar(tmp_path / "train-001.tar", range(3, 7))
    assert before != split_fingerprint(opened())
    assert list(expand("a-{08..11}.tar")) == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert list(expand("{a,b}{1..2}")) == ["a1", "a2", "b1", "b2"]


def test_broken_images_are_named(tmp_path, opened):
    write_tar(tmp_path / "train.tar", range(3))
    data = (tmp_path / "train.tar").read_bytes()
    place = data.index(image_bytes(1))
    (tmp_path / "train.tar").write_bytes(data[:place] + b"x" * 40 + data[place + 40 :])
    with pytest.raises(RunFailed, match=r"image 1 cannot be read: train\.tar:images/0001"):
        opened()[1]


# -- Parquet and Arrow -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables_in_shards(kind, tmp_path, opened, build, make_data, small_input):
    write_parquet(tmp_path / "data" / f"train-00000-of-00002.{kind}")
    write_parquet(tmp_path / "data" / f"train-00001-of-00002.{kind}", count=5)
    source = opened(f"{kind}/")
    assert (len(source), source.classes, source.num_classes) == (15, ("ant", "bee", "cat"), 3)
    assert source.labels.tolist() == [number % 3 for number in (*range(10), *range(5))]
    assert source.shards.sizes.tolist() == ([4, 4, 2, 4, 1] if kind == "parquet" else [10, 5])
    assert isinstance(source[11][0], Image.Image)
    assert source.content(11) == image_bytes(1)
    assert pickle.loads(pickle.dumps(source)).content(7) == image_bytes(7)
    whole = content(build(source).epoch(0))
    assert content(build(source, workers=2).epoch(0)) == whole
    assert content(build(source).epoch(0, skip=1)) == whole[1:]
    measured = build_eval_data(source, make_data(workers=0), small_input, batch_size=4)
    assert sum(len(target) for _, target in measured) == 15


def test_columns_are_checked(tmp_path, opened):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for columns, message in (
        ({"pixels": [1]}, "it has no column image.*its columns: pixels"),
        ({"image": ["a.png"]}, "its column 'image' is string, not the bytes of image files"),
        ({"image": [b"x"], "label": ["cat"]}, "its column 'label' is string, not a class index"),
    ):
        parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
        with pytest.raises(UserError, match=f"(?s)data.dataset: the shard .*train.parquet.*{message}"):
            opened("parquet/")
    parquet.write_table(pa.table({"image": [image_bytes(0), None]}), tmp_path / "train.parquet")
    source = opened("parquet/")
    assert (source.labelled, source.content(0)) == (False, image_bytes(0))
    with pytest.raises(RunFailed, match="row 1 has no bytes"):
        source[1]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("labels", [["a cat", "a dog"], [[0, 2], None]])
def test_columns_of_other_labels_without_labels(kind, labels, tmp_path, opened, build):
    """`task.kind: "none"` reads no label, so it may be text, or a list."""
    write_parquet(tmp_path / f"train.{kind}", 2, label=labels)
    with pytest.raises(UserError, match=r"its column 'label' is .*, not a class index"):
        opened(f"{kind}/")
    source = opened(f"{kind}/", labels=False)
    assert (source.labelled, source.num_classes, source.labels.tolist()) == (False, None, [-1, -1])
    (batch,) = build(source, batch_size=2).epoch(0)
    assert (len(batch.images), batch.target) == (2, None)


@pytest.mark.parametrize("lengths", [False, True])
def test_texts_in_a_webdataset_without_labels(lengths, tmp_path, opened, build):
    write_tar(tmp_path / "train-000.tar", range(4), n1="a cat on a mat")
    if lengths:
        write_info(tmp_path, "train", (4,))
    for _ in range(2):  # the second time from the cache
        source = opened(labels=False)
        assert (len(source), source.labelled, source.labels.tolist()) == (4, False, [-1] * 4)
        (batch,) = build(source, batch_size=4).epoch(0)
        assert batch.target is None
        with pytest.raises((UserError, RunFailed), match="a cat on a mat"):
            opened(num_classes=3)[1]


# -- what other tools write ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # webdataset leaves its file to the garbage collector
def test_what_webdataset_writes_and_reads(tmp_path, opened):
    webdataset = pytest.importorskip("webdataset", reason="needs the package webdataset")
    path = tmp_path / "train-000.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for number in range(5):
            content = {"png": image_bytes(number), "cls": number % 3, "json": {"place": number}}
            writer.write({"__key__": f"a/{number:03}", **content})
    source = opened()
    theirs = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [source.content(index) for index in range(len(source))] == [sample["png"] for sample in theirs]
    assert source.labels.tolist() == [int(sample["cls"]) for sample in theirs]
    shard = source._open(0)
    assert [shard.key(number) for number in range(5)] == [sample["__key__"] for sample in theirs]


def test_what_save_to_disk_writes(tmp_path, opened):
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    rows = {"image": [{"bytes": image_bytes(number), "path": None} for number in range(5)]}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee", "cat"])}
    )
    saved = datasets.Dataset.from_dict({**rows, "label": [0, 1, 2, 0, 1]}, features=features)
    datasets.DatasetDict({"train": saved}).save_to_disk(str(tmp_path), num_shards={"train": 2})
    source = opened("arrow/")
    assert (len(source), source.classes, source.labels.tolist()) == (
        5,
        ("ant", "bee", "cat"),
        [0, 1, 2, 0, 1],
    )
    assert source.content(4) == image_bytes(4)
