"""Two processes and one, with the same whole batch, train the same student."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file


def test_two_processes_agree_with_one(site: Path, kd, fork_kd, free_port, write, tmp_path: Path):
    path = write(
        tmp_path / "a.json",
        data={"dataset": "toy-shapes", "image_size": 16, "workers": 0, "mixup": 0.3},
        teacher={"model": "toynet", "options": {"width": 6}},
        student={"model": "toynet"},
        distiller={"name": "toy-bank"},
        train={"epochs": 2, "batch_size": 8},
    )
    one = kd("run", path, "--output", tmp_path / "one", path=(site,), ACCELERATE_USE_CPU="true")
    assert one.code == 0, one.err
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KD_") or k == "KD_NO_REPORT"}
    shared = {
        **inherited,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site), inherited.get("PYTHONPATH", "")])),
        "ACCELERATE_USE_CPU": "true",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    together = ("run", path, "--output", tmp_path / "two", "--json")
    both = [fork_kd(*together, environment={**shared, **rank}) for rank in ranks]
    told = [process.communicate(timeout=400) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert json.loads(told[0][0])["status"] == "finished"
    assert told[1][0] == ""
    lines = [(tmp_path / n / "a" / "metrics.jsonl").read_text().splitlines() for n in ("one", "two")]
    for alone, shared in zip(*(map(json.loads, part) for part in lines), strict=True):
        assert abs(alone["loss"] - shared["loss"]) < 1e-4
        assert alone["eval"] == shared["eval"]
    weights = [load_file(tmp_path / n / "a" / "student" / "model.safetensors") for n in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-4, rtol=0)
