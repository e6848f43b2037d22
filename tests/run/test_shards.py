"""Runs on a webdataset and on a stream: the same to the bit with any number of loader processes, and after a kill."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from kdcore import UserError, run
from kdcore.data.stream import LaneTrainData
from kdcore.distill.teacher_passes import TeacherPasses
from kdcore.errors import Interrupted
from kdcore.run.fill_cache import cache_teacher
from kdcore.run.loop import Training
from kdcore.run.signals import StopRequest
from tests.shards import write_info, write_parquet, write_tars

TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


@pytest.fixture
def spec(spec_file, tmp_path, monkeypatch):
    monkeypatch.setenv("KD_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "shards"
    write_tars(root, "train", (9, 14, 7, 12))
    write_tars(root, "val", (5, 3))
    write_info(root, "train", (9, 14, 7, 12))
    data = {"dataset": "wds/", "root": str(root), "eval_split": "val", "num_classes": 3}
    data |= {"train_samples": None, "eval_samples": None, "augment": {"hflip": 0.5}, "in_memory": False}

    def of(name, workers=0, **changes):
        settings = {"teacher": TEACHER, "distiller": {"name": "kd"}, "train": {"batch_size": 8}, **changes}
        return spec_file(name, data={**data, "workers": workers}, **settings)

    return of


@pytest.fixture
def stream(spec, tmp_path, monkeypatch):
    """The same for a stream of Hugging Face, of which an epoch takes 40 of the 64 images."""
    pytest.importorskip("datasets", reason="streams of Hugging Face need the package datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / "stream"
    for shard in range(4):
        write_parquet(root / f"train-{shard:05}-of-00004.parquet", range(16 * shard, 16 * shard + 16))
    write_parquet(root / "test-00000-of-00001.parquet", range(8))

    def of(name, workers, **changes):
        path = spec(name, workers, **changes)
        settings = json.loads(path.read_text())
        settings["data"] |= {"dataset": f"hfids/{root}", "root": str(tmp_path / "hf"), "epoch_samples": 40}
        settings["data"] |= {"eval_split": "test", "in_memory": None}
        path.write_text(json.dumps(settings))
        return path

    return of


def weights(result):
    return load_file(result.directory / "student" / "model.safetensors")


def killed_at(spec, step):
    """A process that runs the spec and is killed within a step."""
    child = os.fork()
    if not child:
        torch.set_num_threads(1)  # a forked process cannot use its parent's
        take = Training.take_step

        def dying(self):
            take(self)
            if self.state.step == step:
                os.kill(os.getpid(), signal.SIGKILL)

        Training.take_step = dying
        try:
            run(spec, quiet=True)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("kind", ["spec", "stream"])
def test_a_killed_run_ends_as_one_that_was_not(kind, request):
    spec = request.getfixturevalue(kind)
    torch.set_num_threads(1)
    saving = {"checkpoint": {"minutes": 1e-9}, "train": {"batch_size": 8, "ema": 0.9}}
    straight = run(spec("straight", workers=1, **saving), quiet=True)
    killed_at(spec("killed", workers=0, **saving), 8)  # five steps an epoch
    resumed = run(spec("killed", workers=2, **saving), existing="resume", quiet=True)
    for name, value in weights(straight).items():
        assert torch.equal(value, weights(resumed)[name]), name


@pytest.fixture
def asked(monkeypatch):
    """The sizes of the batches that the teacher is asked for."""
    sizes, compute = [], TeacherPasses.compute

    def counted(self, images, whole=False):
        sizes.append(len(images))
        return compute(self, images, whole)

    monkeypatch.setattr(TeacherPasses, "compute", counted)
    return sizes


def cached(augmentations=2, folder="shared"):
    return {"teacher_cache": {"augmentations": augmentations, "dtype": "float32", "folder": folder}}


def equal(one, other):
    return all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_a_stream_ends_with_a_cache_as_without(stream, asked):
    live = run(stream("live", workers=0), quiet=True)
    asked.clear()
    filling = run(stream("filling", workers=1, **cached()), quiet=True)
    assert asked == [8] * 10
    assert equal(live, filling)
    asked.clear()
    reading = run(stream("reading", workers=0, **cached()), quiet=True)
    assert asked == []
    assert equal(live, reading)


def test_a_killed_run_with_a_cache_of_a_stream(stream, asked):
    torch.set_num_threads(1)
    saving = {"checkpoint": {"minutes": 1e-9}, "train": {"batch_size": 8, "epochs": 3}}
    straight = run(stream("straight", 0, **saving, **cached(folder="one")), quiet=True)
    assert sum(asked) > 80  # the third epoch has images that the first one did not have
    killed_at(stream("killed", 0, **saving, **cached(folder="other")), 8)
    resumed = run(stream("killed", 1, **saving, **cached(folder="other")), existing="resume", quiet=True)
    assert equal(straight, resumed)


def test_the_cache_of_a_stream_is_filled_before(stream, asked, monkeypatch, capsys):
    monkeypatch.setattr("kdcore.run.fill_cache.BATCH", 4)
    path = stream("filled", workers=0, **cached(augmentations=1))
    stops = property(lambda self: signal.SIGINT if len(asked) >= 2 else None, lambda self, value: None)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "signal", stops, raising=False)
        with pytest.raises(Interrupted, match=r"SIGINT: 8 rows are saved; the same command continues"):
            cache_teacher(path, quiet=True)
    filled = cache_teacher(path)
    assert (filled.rows, filled.computed, sum(asked)) == (64, 56, 64)
    shown = capsys.readouterr().err
    assert "16 bytes for 1 augmentation of each sample of the stream" in shown
    assert "8 rows filled" in shown
    assert cache_teacher(path, quiet=True).computed == 0
    asked.clear()
    run(path, quiet=True)
    assert asked == []
    with pytest.raises(UserError, match=r"(?s)--table.*the samples of a stream have none.*parquet/"):
        cache_teacher(path, table=path.parent / "table.npz", quiet=True)


def test_a_cache_of_another_stream_is_not_read(stream, asked, tmp_path):
    run(stream("first", workers=0, **cached(1)), quiet=True, until=1)
    shards = sorted((tmp_path / "stream").glob("train-*"))
    asked.clear()
    write_parquet(shards[0], range(70, 86))
    run(stream("other", workers=0, **cached(1)), quiet=True, until=1)
    assert asked == [8] * 5


def test_a_stream_without_keys_has_no_cache(stream, monkeypatch):
    monkeypatch.setattr(LaneTrainData, "keyed", False)  # as that of 'tfds/'
    with pytest.raises(
        UserError, match=r"(?s)teacher_cache: the reader of hfids/.* shuffles by itself.*'wds/'"
    ):
        run(stream("refused", workers=0, **cached(1)), quiet=True)


def test_the_teacher_is_cached_by_position(spec, monkeypatch):
    cache = {"teacher_cache": {"augmentations": 1, "dtype": "float32", "folder": "shared"}}
    filled = cache_teacher(spec("first", workers=1, **cache), quiet=True)
    assert (filled.rows, filled.computed) == (42, 42)
    monkeypatch.setattr(TeacherPasses, "compute", lambda *_: pytest.fail("the teacher is asked"))
    found = run(spec("second", **cache), quiet=True, until=1)
    assert found.summary["data"]["train_size"] == 42
