"""The launcher `commands`: a call prints the commands of the runs, somebody runs them, and later calls collect."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import kd_compare
import pytest
from kd_report.switch import NO_REPORT

from kdcore import RunDirectory
from kdcore.cli import main

NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    data = {"dataset": "digits", "image_size": 16, "train_samples": 20, "eval_samples": 20, "workers": 0}
    common = {"data": data, "student": NARROW, "train": {"epochs": 1, "batch_size": 10}}
    (tmp_path / "teacher.json").write_text(json.dumps({"name": "big", "distiller": "vanilla", **common}))
    path = tmp_path / "base.json"
    path.write_text(json.dumps({"distiller": "kd", "teacher": {**NARROW, "run": "teacher.json"}, **common}))
    return path


@pytest.fixture
def kd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Calls kd in this process, which costs no import; returns the lines of stdout."""
    monkeypatch.setenv(NO_REPORT, "1")  # a command sets it for its own process

    def call(*arguments: str, code: int = 0) -> list[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert (ended.value.code or 0) == code
        return capsys.readouterr().out.splitlines()

    return call


def arguments_of(command: str) -> list[str]:
    """What a line calls kd with."""
    words = shlex.split(command)
    assert words[0] == "cd"
    assert words[3] == "env"
    return words[words.index("kdcore") + 1 : words.index(">>" + words[-2][2:])]


def test_the_teacher_is_first(spec: Path):
    result = kd_compare.compare(spec, seeds=1, launcher="commands", quiet=True)
    assert result.status == "prepared"
    (line,) = result.commands
    assert Path(arguments_of(line)[1]).stem == "teacher-big"


def test_commands_until_the_comparison_is_finished(spec: Path, kd):
    overrides = ["teacher=null", "distiller=vanilla"]
    flags = [word for text in overrides for word in ("--set", text)]
    lines = kd("compare", str(spec), "--seeds", "1", "--launcher", "commands", *flags)
    folder = spec.parent / "runs" / "compare-base"
    assert lines == (folder / "launcher" / "commands.txt").read_text().splitlines()
    assert [Path(arguments_of(line)[1]).stem for line in lines] == ["vanilla-seed0"]
    state = json.loads((folder / "comparison.json").read_text())
    assert (state["status"], state["commands"]) == ("prepared", lines)

    call = {"seeds": 1, "launcher": "commands", "overrides": overrides, "quiet": True}
    run = RunDirectory(folder / "runs" / "vanilla-seed0")
    with run.locked():
        busy = kd_compare.compare(spec, **call)
    assert (busy.status, busy.commands, busy.runs[0].status) == ("prepared", (), "running")

    summary, log = run.path / "summary.json", folder / "logs" / "vanilla-seed0.log"
    summary.write_text(json.dumps({"status": "failed"}))
    log.write_text("error: the loss is nan\n")
    failed = kd_compare.compare(spec, **call)
    assert (failed.status, failed.commands) == ("failed", ())
    assert (failed.runs[0].error, failed.runs[0].log) == ("the loss is nan", str(log))
    summary.unlink()
    assert list(kd_compare.compare(spec, **call).commands) == lines

    kd(*arguments_of(lines[0]))
    done = kd_compare.compare(spec, **call)
    assert (done.status, done.methods[0].finished) == ("finished", 1)


def test_commands_of_a_tuning(spec: Path, kd):
    pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")
    flags = ["--search", "optimizer.lr=log(1e-3..1)", "--trials", "1", "--final-seeds", "0"]
    call = ["tune", str(spec), *flags, "--set", "teacher=null", "--set", "distiller=vanilla"]
    call += ["--storage", "journal", "--launcher", "commands"]
    lines = kd(*call)
    assert [Path(arguments_of(line)[1]).stem for line in lines] == ["trial-0-seed0"]
    folder = spec.parent / "runs" / "tune-base"
    assert json.loads((folder / "tuning.json").read_text())["status"] == "prepared"
    for line in lines:
        kd(*arguments_of(line))
    assert kd(*call)[0].split()[:2] == ["trial", "top1"]
