from __future__ import annotations

import json
import shutil

import pytest

from kdcore import run


@pytest.fixture(scope="module")
def kept_run(tmp_path_factory):
    """A run of one epoch."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    folder = tmp_path_factory.mktemp("export")
    spec = {
        "data": {
            "dataset": "digits",
            "image_size": 16,
            "train_samples": 20,
            "eval_samples": 20,
            "workers": 0,
        },
        "student": {"model": "resnet10t", "options": {"channels": [4, 4, 4, 4]}},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 10},
    }
    (folder / "tiny.json").write_text(json.dumps(spec))
    return run(folder / "tiny.json", quiet=True).directory


@pytest.fixture
def a_run(kept_run, tmp_path):
    return shutil.copytree(kept_run, tmp_path / "tiny")


def test_json(kd, a_run, tmp_path):
    done = kd("export", a_run, "--to", "torch", "--output", tmp_path / "out", "--samples", 7, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["path"] == str(tmp_path / "out")
    assert set(told["files"]) == {"model.safetensors", "kd.json", "load.py"}
    assert told["check"]["images"] == told["check"]["same_top1"] == 7
    assert told["weights"] == "last"


def test_text(kd, a_run):
    done = kd("export", a_run, "--to", "timm", "--best")
    assert done.code == 0
    first, second, third = done.out.splitlines()
    assert first.startswith(f"timm: {a_run}/export/timm-best/model.safetensors (")
    assert second.startswith("checked on 20 images of split 'test': the first class is the same on 20,")
    assert third.startswith("top-1 ")


def test_what_is_wrong_ends_with_2(kd, a_run, tmp_path):
    done = kd("export", tmp_path / "tinny", "--to", "torch")
    assert done.code == 2
    assert f"did you mean '{a_run}'?" in done.err
    done = kd("export", a_run, "--to", "onxn")
    assert done.code == 2
    assert "did you mean 'onnx'?" in done.err
    done = kd("export", a_run, "--to", "torch", "--ema", "--best")
    assert done.code == 2
    assert "exclude each other" in done.err
    assert kd("export", a_run).code == 2  # no --to
