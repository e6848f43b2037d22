"""A run that goes on where something under it changed, and a run whose end was cut off."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from kdcore import RunDirectory, RunFailed, RunResult, UserError, run
from kdcore.plugins import Plugins

Start = Callable[..., RunResult]


def _weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return timm.create_model("test_resnet", num_classes=2).state_dict()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs three epochs of KD on a folder of twelve images; keywords are those of `run` and sections of the spec."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(6):
                pixels = rng.integers(0, 80, (16, 16, 3)) + 100 * number
                Image.fromarray(pixels.astype("uint8")).save(folder / f"{index}.bmp")
    torch.save(_weights(0), tmp_path / "teacher.pth")

    def go(until: int | None = None, accept_changes: bool = False, **sections: Any) -> RunResult:
        spec: dict[str, Any] = {
            "name": "on",
            "output": str(tmp_path / "runs"),
            "report": False,
            "data": {
                "dataset": str(tmp_path / "images"),
                "eval_split": "val",
                "image_size": 16,
                "workers": 0,
            },
            "teacher": {"model": "test_resnet", "checkpoint": str(tmp_path / "teacher.pth")},
            "student": {"model": "test_resnet"},
            "distiller": {"name": "kd"},
            "train": {"epochs": 3, "batch_size": 6},
        }
        return run({**spec, **sections}, until=until, accept_changes=accept_changes, quiet=True)

    return go


def _student(result: RunResult) -> bytes:
    return (result.directory / "student" / "model.safetensors").read_bytes()


def test_another_teacher_is_refused_and_nothing_is_lost(start: Start, tmp_path: Path):
    first = start(until=1)
    before = {path: path.read_bytes() for path in first.directory.rglob("*") if path.is_file()}
    weights = _weights(0)
    weights["fc.bias"].view(torch.int32)[0] ^= 1  # one bit
    torch.save(weights, tmp_path / "teacher.pth")
    with pytest.raises(UserError, match="the teacher's weights changed") as caught:
        start()
    assert caught.value.exit_code == 2
    after = {path: path.read_bytes() for path in first.directory.rglob("*") if path.is_file()}
    assert after == before
    torch.save(_weights(0), tmp_path / "teacher.pth")
    assert start().summary["status"] == "finished"


def test_accepted_changes_are_recorded_and_the_teacher_is_measured_again(start: Start, tmp_path: Path):
    start(until=1)
    other = {name: torch.zeros_like(value) for name, value in _weights(1).items()}
    other["fc.bias"] = torch.tensor([0.0, 9.0])  # always the second class
    torch.save(other, tmp_path / "teacher.pth")
    result = start(accept_changes=True)
    (accepted,) = result.summary["accepted_changes"]
    assert accepted["step"] == 2
    assert "the teacher's weights changed" in accepted["changes"][0]
    assert result.summary["teacher"]["top1"] == 50.0
    environment = json.loads((result.directory / "environment.json").read_text())
    assert [one["from_step"] for one in environment["starts"]] == [0, 2]
    assert "accepted_changes" not in environment["starts"][0]
    assert environment["accepted_changes"] == accepted["changes"]
    # the new state is what the next start is compared with
    assert start(train={"epochs": 4, "batch_size": 6}).summary["epochs"] == 4


def test_the_best_image_of_an_evaluation_cannot_be_swapped(start: Start, tmp_path: Path):
    start(until=1)
    one, other = (tmp_path / f"images/val/{name}/0.bmp" for name in ("cat", "dog"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(UserError, match="the evaluation images changed"):
        start()


def test_edited_plugin_code_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch):
    start(until=1)
    monkeypatch.setattr("kdcore.run.fingerprint.code_digest", lambda value: f"edited {value}")
    with pytest.raises(UserError) as caught:
        start()
    places = {problem.where for problem in caught.value.problems}
    assert "plugin kd-classic" in places
    assert "plugin kd-ofa" not in places  # this run does not use it


def test_a_finished_run_is_extended_only_with_what_it_was_trained_on(start: Start, tmp_path: Path):
    start()
    (tmp_path / "images/train/cat/5.bmp").unlink()
    start()  # there is nothing to do, and nothing is read
    with pytest.raises(UserError, match="12 before, 11 now"):
        start(train={"epochs": 4, "batch_size": 6})
    assert RunDirectory(tmp_path / "runs" / "on").finished


@pytest.mark.parametrize("harm", ["missing", "empty", "one bit", "config"])
def test_a_student_that_is_not_whole_is_made_again(start: Start, tmp_path: Path, harm: str):
    first = start()
    good, folder = _student(first), first.directory / "student"
    if harm == "missing":
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    elif harm == "config":
        (folder / "config.json").write_text("{")
    else:
        changed = b"" if harm == "empty" else good[:-1] + bytes([good[-1] ^ 1])
        (folder / "model.safetensors").write_bytes(changed)
    # the images are not needed for it, so that they may have changed
    (tmp_path / "images/val/cat/0.bmp").write_bytes((tmp_path / "images/val/cat/1.bmp").read_bytes())
    again = start()
    assert _student(again) == good
    assert again.summary["status"] == "finished"


class _Hooks:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        self.killed = False

        def finished(
            plugins: Plugins, directory: RunDirectory, summary: dict[str, Any], *, skip: Any, done: Any
        ) -> None:
            if self.killed:
                raise KeyboardInterrupt
            if "kd-report" not in skip:  # it has this hook
                self.calls.append(summary)
                done("kd-report", [])

        monkeypatch.setattr(Plugins, "run_finished", finished)


def test_hooks_that_a_kill_prevented_are_called_by_the_next_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    hooks = _Hooks(monkeypatch)
    hooks.killed = True
    with pytest.raises(KeyboardInterrupt):
        start()
    hooks.killed = False
    result = start()
    assert [summary["status"] for summary in hooks.calls] == ["finished"]
    start()
    assert len(hooks.calls) == 1
    assert result.summary["student"]["top1"] == hooks.calls[0]["student"]["top1"]


def test_a_report_that_a_kill_prevented_is_made_by_the_next_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KD_NO_REPORT", "1")
    result = start(report=True)
    assert not (result.directory / "report.html").exists()
    monkeypatch.delenv("KD_NO_REPORT")
    start(report=True)
    assert (result.directory / "report.html").exists()
    (result.directory / "report.html").unlink()  # somebody did not want it: it is not made again
    start(report=True)
    assert not (result.directory / "report.html").exists()


def test_a_start_removes_what_killed_processes_left(start: Start, tmp_path: Path):
    result = start(until=1)
    left = result.directory / ".metrics.jsonl.999999999.tmp"
    running = result.directory / ".summary.json.1.tmp"  # of a process that is there
    for path in (left, running):
        path.write_text("half")
    start()
    assert not left.exists()
    assert running.exists()


def test_fresh_removes_exports_and_what_trackers_wrote(start: Start):
    result = start()
    for name in ("export/onnx", "wandb", "dvclive", "tensorboard", "swanlab", "teacher-cache", "mine"):
        (result.directory / name).mkdir(parents=True)
    RunDirectory(result.directory).clear()
    assert {path.name for path in result.directory.iterdir()} == {".lock", "teacher-cache", "mine"}


@pytest.mark.parametrize("number", [signal.SIGHUP])
def test_a_closed_terminal_leaves_a_checkpoint(
    start: Start, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    from kdcore import Interrupted

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)  # also if nohup started the tests

    def epoch_ended(plugins: Plugins, directory: RunDirectory, metrics: dict[str, Any]) -> None:
        if metrics["epoch"] == 1:
            signal.raise_signal(number)

    monkeypatch.setattr(Plugins, "epoch_ended", epoch_ended)
    with pytest.raises(Interrupted, match="SIGHUP") as caught:
        start()
    assert caught.value.exit_code == 129
    assert start().summary["status"] == "finished"


def test_a_run_writes_nothing_into_a_folder_that_took_the_place_of_its_own(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, away = tmp_path / "runs" / "on", tmp_path / "away"
    ended = Plugins.epoch_ended

    def move(self: Plugins, directory: RunDirectory, record: dict[str, Any]) -> Any:
        if record["epoch"] == 1:
            folder.rename(away)
            folder.mkdir()
        return ended(self, directory, record)

    with monkeypatch.context() as patch:
        patch.setattr(Plugins, "epoch_ended", move)
        with pytest.raises(RunFailed, match="on was moved or deleted during the run"):
            start()
    assert list(folder.iterdir()) == []
    folder.rmdir()
    away.rename(folder)
    assert [record["epoch"] for record in RunDirectory(folder).metrics()] == [1]
    result = start()
    assert [record["epoch"] for record in result.metrics] == [1, 2, 3]
