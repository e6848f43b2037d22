"""Runs on a webdataset and on a stream: the same to the bit with any number of loader processes, and after a kill."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from kdcore import run
from kdcore.distill.teacher_passes import TeacherPasses
from kdcore.run.fill_cache import cache_teacher
from kdcore.run.loop import Training
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
    """The same for a stream of Hugging Face."""
    pytest.importorskip("datasets", reason="streams of Hugging Face need the package datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / "stream"
    for shard, size in enumerate((9, 14, 7, 12)):
        write_parquet(root / f"train-{shard:05}-of-00004.parquet", range(10 * shard, 10 * shard + size))
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


def test_the_teacher_is_cached_by_position(spec, monkeypatch):
    cache = {"teacher_cache": {"augmentations": 1, "dtype": "float32", "folder": "shared"}}
    filled = cache_teacher(spec("first", workers=1, **cache), quiet=True)
    assert (filled.rows, filled.computed) == (42, 42)
    monkeypatch.setattr(TeacherPasses, "compute", lambda *_: pytest.fail("the teacher is asked"))
    found = run(spec("second", **cache), quiet=True, until=1)
    assert found.summary["data"]["train_size"] == 42
