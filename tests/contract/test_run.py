"""A whole run with a stranger's plugin: DESIGN's way of one run, the run directory, the hooks of a run's life."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file

DATA = {"dataset": "toy-shapes", "image_size": 16, "workers": 0}
TRAIN = {"epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def done(site: Path, kd, write, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One run: the teacher is trained first by its own spec."""
    folder = tmp_path_factory.mktemp("specs")
    net = {"model": "toynet", "options": {"width": 6}}
    write(folder / "big.json", data=DATA, student=net, distiller={"name": "toy-plain"}, train=TRAIN)
    path = write(
        folder / "small.json",
        data=DATA | {"mixup": 0.2},
        teacher={"run": "big.json"},
        student={"model": "stranger/toynet"},
        distiller=[{"name": "kd-stranger/toy-bank", "weight": 0.5}, {"name": "vanilla"}],
        task={"weight": 0.7},
        train=TRAIN,
    )
    log = folder / "log.jsonl"
    shown = kd("run", path, "--json", path=(site,), STRANGER_LOG=str(log))
    assert shown.code == 0, shown.err
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return SimpleNamespace(folder=folder, shown=shown, events=events, run=folder / "runs" / "small")


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_stdout_has_the_summary_alone(done: SimpleNamespace):
    summary = _json(done.run / "summary.json")
    printed = json.loads(done.shown.out)
    assert {key: printed[key] for key in summary} == summary


def test_the_summary(done: SimpleNamespace):
    summary = _json(done.run / "summary.json")
    assert summary["status"] == "finished"
    assert summary["epochs"] == 2
    for name in ("top1", "top5", "best_top1"):
        assert 0 <= summary["student"][name] <= 100
    assert summary["student"]["best_epoch"] in (1, 2)
    assert summary["student"]["parameters"] == 3 * 4 * 9 + 4 + 3 * (4 * 4 * 9 + 4) + 4 * 2 + 2
    assert summary["teacher"]["parameters"] == 3 * 6 * 9 + 6 + 3 * (6 * 6 * 9 + 6) + 6 * 2 + 2
    assert 0 <= summary["teacher"]["top1"] <= 100
    for name in ("images_per_second", "wall_seconds", "peak_memory_bytes"):
        assert summary[name] > 0


def test_the_teachers_run_is_whole(done: SimpleNamespace):
    teacher = _json(done.folder / "runs" / "big" / "summary.json")
    assert teacher["status"] == "finished"
    assert teacher["student"]["top1"] == pytest.approx(_json(done.run / "summary.json")["teacher"]["top1"])
    assert teacher["teacher"] is None


def test_the_metrics(done: SimpleNamespace):
    lines = [json.loads(line) for line in (done.run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert line["lr"] >= 0
        assert line["images_per_second"] > 0
        assert {name.rpartition(".")[2] for name in line["terms"]} == {"hint", "loss"}
        assert line["loss"] == pytest.approx(line["task_loss"] + sum(line["terms"].values()), rel=1e-5)
        for split in ("train", "eval"):
            assert 0 <= line[split]["top1"] <= line[split]["top5"] <= 100


def test_the_directory(done: SimpleNamespace):
    for name in ("spec.json", "environment.json", "metrics.jsonl", "summary.json", "checkpoints", "student"):
        assert (done.run / name).exists()
    environment = (done.run / "environment.json").read_text()
    for name in ("python", "torch", "timm", "kdcore", "kd-stranger", "3.1", "device"):
        assert name in environment
    weights = load_file(done.run / "student" / "model.safetensors")
    assert set(weights) == {f"body.{n}.{kind}" for n in range(4) for kind in ("weight", "bias")} | {
        "fc.weight",
        "fc.bias",
    }


def test_the_resolved_spec_has_every_default(done: SimpleNamespace):
    spec = _json(done.run / "spec.json")
    bank = spec["distiller"][0]
    assert (bank["weight"], bank["stage"], bank["decay"]) == (0.5, 2, 0.5)
    assert spec["task"]["weight"] == 0.7
    teacher = _json(done.folder / "runs" / "big" / "spec.json")
    assert teacher["task"]["weight"] == 1.0
    assert teacher["train"]["accumulate"] == 1


def test_the_hooks_of_a_runs_life(done: SimpleNamespace):
    big, small = str(done.folder / "runs" / "big"), str(done.run)
    assert done.events == [
        ["started", big],
        ["epoch", 1],
        ["epoch", 2],
        ["finished", "finished"],
        ["started", small],
        ["epoch", 1],
        ["epoch", 2],
        ["finished", "finished"],
    ]
    (line, _) = [line for line in done.shown.err.splitlines() if "the stranger trips" in line]
    assert "stranger" in line
    assert "3.1" in line


def test_the_resolved_spec_repeats_the_run(done: SimpleNamespace, site: Path, kd, tmp_path: Path):
    again = kd("run", done.run / "spec.json", "--output", tmp_path, "--json", path=(site,))
    assert again.code == 0, again.err
    one, two = (
        load_file(Path(folder) / "student" / "model.safetensors")
        for folder in (done.run, json.loads(again.out)["directory"])
    )
    assert one.keys() == two.keys()
    assert all(one[name].equal(two[name]) for name in one)


def test_a_finished_run_goes_not_on(done: SimpleNamespace, site: Path, kd):
    before = (done.run / "summary.json").read_bytes()
    again = kd("run", done.folder / "small.json", "--resume", "--json", path=(site,))
    assert again.code == 0, again.err
    assert (done.run / "summary.json").read_bytes() == before


def test_a_teacher_from_a_run_directory(done: SimpleNamespace, site: Path, kd, write):
    path = write(
        done.folder / "third.json",
        data=DATA,
        teacher={"checkpoint": "runs/big"},
        student={"model": "toynet"},
        distiller={"name": "toy-bank", "stage": 4},
        train=TRAIN,
    )
    found = kd("validate", path, "--json", path=(site,))
    assert found.code == 0, found.out
    assert json.loads(found.out)["ok"] is True
