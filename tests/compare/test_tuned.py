"""`--tuned` of `kd compare`: each method is tuned, and compared with the values found. The runs are trained here."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kd_compare
import pytest
from kd_compare import comparison as module
from kd_compare import plan_checks
from kd_compare.tuning import plan as tune_plan

from kdcore import JobEnd, LaunchJob, RunFailed, UserError
from kdcore.cli import main

pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")

NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


class InThisProcess:
    """Trains a run when it is started, which costs no import."""

    name = "here"

    def __init__(self) -> None:
        self.started: list[str] = []
        self._ends: list[JobEnd] = []

    def start(self, job: LaunchJob) -> str:
        self.started.append(job.arguments[1])
        with pytest.raises(SystemExit) as ended:
            main(job.arguments)
        self._ends.append(JobEnd(job.name, ended.value.code or 0))
        return job.name

    def attach(self, job: LaunchJob, handle: str) -> bool:
        return False

    def ended(self) -> list[JobEnd]:
        found, self._ends = self._ends, []
        return found

    def stop(self, names: Any) -> None:
        pass


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    data = {"dataset": "digits", "image_size": 16, "train_samples": 10, "eval_samples": 10, "workers": 0}
    values = {"data": data, "teacher": NARROW, "student": NARROW, "distiller": "kd"}
    path = tmp_path / "base.json"
    path.write_text(json.dumps({**values, "train": {"epochs": 1, "batch_size": 10}}))
    return path


def test_each_method_is_tuned_before_it_is_compared(spec: Path, monkeypatch: pytest.MonkeyPatch):
    launcher = InThisProcess()
    monkeypatch.setenv("KD_NO_REPORT", "1")
    for checks in (plan_checks, tune_plan):  # the runs themselves check the models again
        monkeypatch.setattr(checks, "validate", lambda loaded: SimpleNamespace(warnings=()))
    monkeypatch.setattr(module, "find_launcher", lambda *_: lambda setup: launcher)
    call: dict[str, Any] = {
        "distillers": ["kd"],
        "seeds": [3],
        "search": {"distiller.temperature": "8..16"},  # not its own: 4
        "quiet": True,
    }
    result = kd_compare.compare(spec, tuned=1, **call)
    folder = spec.parent / "runs" / "compare-base-tuned"
    assert (result.status, result.directory) == ("finished", folder)
    about = result.tuned
    assert about is not None
    assert (about["trials"], about["sampler_seed"], about["methods"]["vanilla"]) == (1, 0, None)
    found = about["methods"]["kd"]
    value = found["values"]["distiller.temperature"]
    assert 8 <= value <= 16
    tuned = json.loads((folder / "specs" / "kd-seed3.json").read_text())
    assert tuned["distiller"]["temperature"] == value
    trial = json.loads((folder / "tunings" / "kd" / "runs" / "trial-0-seed10000" / "spec.json").read_text())
    assert trial["distiller"]["temperature"] == value
    assert json.loads((folder / "comparison.json").read_text())["tuned"] == about
    page = (folder / "comparison.html").read_text()
    assert "tuned with 1 trial of seed 10000 (sampler tpe, sampler seed 0)" in page
    assert f"distiller.temperature = {value:.4g}" in page


class AllTrialsFail(InThisProcess):
    def start(self, job: LaunchJob) -> str:
        self.started.append(job.name)
        self._ends.append(JobEnd(job.name, 1, "the disk is full"))
        return job.name


def test_failed_trials_of_a_method_are_repeated(spec: Path, monkeypatch: pytest.MonkeyPatch):
    launcher = AllTrialsFail()
    for checks in (plan_checks, tune_plan):
        monkeypatch.setattr(checks, "validate", lambda loaded: SimpleNamespace(warnings=()))
    monkeypatch.setattr(module, "find_launcher", lambda *_: lambda setup: launcher)
    for flags, started in [({}, 1), ({}, 1), ({"retry_failed": True}, 2)]:
        with pytest.raises(RunFailed, match="kd: all trials failed; the same command with --retry-failed"):
            kd_compare.compare(spec, distillers=["kd"], tuned=1, quiet=True, **flags)
        assert launcher.started == [f"trial-{number}-seed10000" for number in range(started)]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"search": ["optimizer.lr=0.1..1"]}, ["--search", "add --tuned TRIALS"]),
        ({"sampler_seed": 3}, ["--sampler-seed", "add --tuned TRIALS"]),
        ({"retry_failed": True}, ["--retry-failed", "add --tuned TRIALS"]),
        ({"eta": 4}, ["--eta", "add --budget auto"]),
        ({"tuned": 0}, ["--tuned", "must be at least 1"]),
        ({"tuned": 2, "seeds": [0, 10_000]}, ["--seeds", "the seed of the trials"]),
        (
            {"tuned": 2, "search": ["distiller.temprature=1..2"]},
            ["kd: --search distiller.temprature", "did you mean 'temperature'?"],
        ),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(spec: Path, flags: dict[str, Any], parts: list[str]):
    with pytest.raises(UserError) as caught:
        kd_compare.compare(spec, quiet=True, **flags)
    text = "\n".join(map(str, caught.value.problems))
    for part in parts:
        assert part in text
