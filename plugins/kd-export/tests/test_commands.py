from __future__ import annotations

import json

import torch


def test_json(kd, a_run, tmp_path):
    done = kd("export", a_run(), "--to", "torch", "--output", tmp_path / "out", "--samples", 7, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["path"] == str(tmp_path / "out")
    assert set(told["files"]) == {"model.safetensors", "kd.json", "load.py"}
    assert told["check"]["images"] == told["check"]["same_top1"] == 7
    assert told["weights"] == "last"


def test_text(kd, a_run):
    run = a_run()
    done = kd("export", run, "--to", "timm", "--best")
    assert done.code == 0
    first, second, third = done.out.splitlines()
    assert first.startswith(f"timm: {run}/export/timm-best/model.safetensors (")
    assert first.endswith("with config.json, kd.json, load.py")
    assert second.startswith("checked on 120 images of split 'test': the first class is the same on 120,")
    assert third.startswith("top-1 ")


def test_what_is_wrong_ends_with_2(kd, a_run, tmp_path):
    run = a_run()
    done = kd("export", run.with_name("resnte"), "--to", "torch")
    assert done.code == 2
    assert f"did you mean '{run}'?" in done.err
    done = kd("export", run, "--to", "onxn")
    assert done.code == 2
    assert "did you mean 'onnx'?" in done.err
    done = kd("export", run, "--to", "torch", "--ema", "--best")
    assert done.code == 2
    assert "exclude each other" in done.err
    assert kd("export", run).code == 2  # no --to


def test_push(kd, a_run, tmp_path):
    done = kd("push", a_run(), "me/tiny", "--dry-run", "--output", tmp_path / "hub")
    assert done.code == 0
    assert done.out == f"nothing was pushed; what would be is in {tmp_path / 'hub'}\n"
    assert "--license" in done.err


def test_an_exporter_of_torch_that_fails(kd, a_run, monkeypatch):
    def fail(*args, **more):
        raise RuntimeError("data-dependent\nand so on")

    monkeypatch.setattr(torch.export, "export", fail)
    done = kd("export", a_run(), "--to", "pt2")
    assert done.code == 1
    # kd-export has reported it: it is not blamed
    assert done.err == "error: this student cannot be exported to pt2: RuntimeError: data-dependent\n"
