"""What a tuning makes of the ends of its runs, and what it leaves behind when it ends early. The runs are played."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kd_compare
import pytest
from kd_compare import plan_checks
from kd_compare.tuning import call
from kd_compare.tuning import plan as tune_plan
from kd_compare.tuning import tune as module
from kd_compare.tuning.ledger import Ledger
from kd_compare.tuning.result import TuneResult

from kdcore import Interrupted, JobEnd, LaunchJob, RunDirectory, RunFailed
from kdcore.plugin import StopRequest

pytest.importorskip("optuna", reason="kd tune needs the extra 'tune'")

EPOCHS = 4


class Played:
    """Plays a run when it is started: its top-1 is the temperature times the epoch.

    Attributes:
        started: their names, with the epoch until which they were to be trained.
        after: by name, the epochs after which a run ends; it says that all is well.
        crash: by name, what goes wrong with a run's process when it has done everything.
    """

    name = "played"

    def __init__(self) -> None:
        self.started: list[str] = []
        self.after: dict[str, int] = {}
        self.crash: dict[str, str] = {}
        self._ends: list[JobEnd] = []

    def start(self, job: LaunchJob) -> str:
        self.started.append(" ".join((job.name, *job.arguments[2:])))
        spec = json.loads(Path(job.arguments[1]).read_text())
        epochs = self.after.get(job.name, int(job.arguments[3]) if len(job.arguments) > 2 else EPOCHS)
        self.play(spec, RunDirectory(job.directory), epochs)
        reason = self.crash.get(job.name)
        self._ends.append(JobEnd(job.name, 0 if reason is None else 1, reason))
        return job.name

    @staticmethod
    def play(spec: dict[str, Any], directory: RunDirectory, epochs: int) -> None:
        directory.begin(spec, {})
        score = spec["distiller"]["temperature"]
        records = [
            {"epoch": epoch, "eval": {"top1": score * epoch}, "images_per_second": 1.0}
            for epoch in range(1, epochs + 1)
        ]
        directory.write_metrics(records)
        student = {"model": "small", "parameters": 10, "top1": score * epochs}
        status = "finished" if epochs == EPOCHS else "paused"
        directory.write_summary({"status": status, "student": student, "wall_seconds": 1.0})

    def attach(self, job: LaunchJob, handle: str) -> bool:
        return False

    def ended(self) -> list[JobEnd]:
        found, self._ends = self._ends, []
        return found

    def stop(self, names: Any) -> None:
        pass


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    found = Played()
    monkeypatch.setattr(module, "find_launcher", lambda *_: lambda setup: found)
    for checks in (plan_checks, tune_plan):
        monkeypatch.setattr(checks, "validate", lambda loaded: SimpleNamespace(warnings=()))
    return found


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    model = {"model": "resnet10t"}
    values = {"teacher": model, "student": model, "distiller": "kd", "train": {"epochs": EPOCHS}}
    path = tmp_path / "base.json"
    path.write_text(json.dumps(values))
    return path


def tune(spec: Path, **changes: Any) -> TuneResult:
    fields: dict[str, Any] = {
        "search": {"distiller.temperature": [4.0, 6.0]},
        "sampler": "random",
        "trials": 2,
        "final_seeds": 0,
        "together": 2,
        "storage": "journal",
        "quiet": True,
    }
    return kd_compare.tune(spec, **fields | changes)


def status(spec: Path) -> str:
    found: str = json.loads((spec.parent / "runs" / "tune-base" / "tuning.json").read_text())["status"]
    return found


def test_a_finished_run_counts_though_its_process_crashed_at_its_end(spec: Path, played: Played):
    played.crash = {"trial-0-seed0": "killed by SIGSEGV"}
    result = tune(spec)
    assert [row.status for row in result.trials] == ["finished", "finished"]


def test_a_run_that_ends_before_its_rung_fails_its_trial(spec: Path, played: Played):
    played.after = {"trial-1-seed0": 1}
    result = tune(spec, pruner="median")
    assert [row.status for row in result.trials] == ["finished", "failed"]
    assert result.trials[1].error is not None
    assert result.trials[1].error.startswith("it ended without a result (its output: ")
    assert played.started == [
        "trial-0-seed0 --until 1",
        "trial-1-seed0 --until 1",
        "trial-0-seed0 --until 2",
        "trial-1-seed0 --until 2",
        "trial-0-seed0 --until 3",
        "trial-0-seed0",
    ]


def test_a_failed_trial_is_repeated_when_it_is_asked_for(spec: Path, played: Played):
    played.after = {"trial-1-seed0": 1}
    failed = tune(spec)
    assert tune(spec).trials == failed.trials  # the same command alone does not
    result = tune(spec, retry_failed=True)
    assert [(row.status, row.repeats) for row in result.trials] == [
        ("finished", None),
        ("failed", None),
        ("finished", 1),
    ]
    assert result.trials[2].values == result.trials[1].values
    assert result.best == 2
    assert tune(spec, retry_failed=True).trials == result.trials
    table = (result.directory / "trials.csv").read_text().splitlines()
    assert table[0].endswith(",error,repeats")
    assert table[3].endswith(",,1")
    assert "finished, repeats trial 1" in (result.directory / "tuning.html").read_text()


def test_if_all_trials_failed_that_is_written_down(spec: Path, played: Played):
    played.after = {"trial-0-seed0": 1, "trial-1-seed0": 1}
    with pytest.raises(RunFailed, match="all trials failed; the same command with --retry-failed"):
        tune(spec)
    assert status(spec) == "failed"


def test_an_error_of_the_launcher_is_written_down(
    spec: Path, played: Played, monkeypatch: pytest.MonkeyPatch
):
    def start(job: LaunchJob) -> str:
        raise RunFailed("the queue is gone")

    monkeypatch.setattr(played, "start", start)
    with pytest.raises(RunFailed, match="the queue is gone"):
        tune(spec)
    assert status(spec) == "failed"


def test_a_request_to_stop_in_the_final_comparison_is_written_down(
    spec: Path, played: Played, monkeypatch: pytest.MonkeyPatch
):
    stop, start = StopRequest(), played.start
    monkeypatch.setattr(module, "stop_requests", lambda: contextlib.nullcontext(stop))

    def start_and_stop(job: LaunchJob) -> str:
        if job.name == "tuned-seed1":
            stop.signal = signal.SIGINT
        return start(job)

    monkeypatch.setattr(played, "start", start_and_stop)
    with pytest.raises(Interrupted):
        tune(spec, final_seeds=2)
    assert status(spec) == "interrupted"
    stop.signal = None
    assert tune(spec, final_seeds=2).status == "finished"
    assert played.started[-2:] == ["tuned-seed1", "tuned-seed2"]


# -- several workers ---------------------------------------------------------------------------------------------


def test_the_final_comparison_is_left_to_the_worker_that_ends_last(
    spec: Path, played: Played, monkeypatch: pytest.MonkeyPatch
):
    folder = spec.parent / "runs" / "tune-base"
    with contextlib.ExitStack() as other:
        start = played.start

        def start_and_join(job: LaunchJob) -> str:
            """As the first run starts, another worker takes the rest of the trials."""
            if not played.started:
                other.enter_context(RunDirectory(folder / "workers" / "other").locked())
                settings = ledgers[0]._settings
                Ledger(settings, folder, "journal", "other").batch(2, None)
            return start(job)

        ledgers: list[Ledger] = []
        monkeypatch.setattr(call, "Ledger", lambda *args: ledgers.append(Ledger(*args)) or ledgers[-1])
        monkeypatch.setattr(played, "start", start_and_join)
        result = tune(spec, together=1, final_seeds=1, worker="first")
        assert [(row.status, row.worker) for row in result.trials] == [
            ("finished", "first"),
            ("running", "other"),
        ]
        assert (result.status, result.comparison, status(spec)) == ("running", None, "running")
    # the other one was killed: nobody waits for it
    final = tune(spec, together=1, final_seeds=1, worker="first")
    assert final.status == "finished"


def test_a_final_comparison_that_another_worker_makes_is_left_to_it(spec: Path, played: Played):
    folder = spec.parent / "runs" / "tune-base" / "final-trial-1"
    with RunDirectory(folder).locked():
        result = tune(spec, final_seeds=1)
    assert (result.status, result.best, result.comparison) == ("running", 1, None)
    assert tune(spec, final_seeds=1).comparison is not None
