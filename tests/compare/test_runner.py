"""What is run, in which order, and what is made of its ends; the runs themselves are played."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kd_report
import pytest
from kd_compare import runner
from kd_compare.display import Silent
from kd_compare.plan import ComparisonPlan, make_plan
from kd_compare.request import Request

from kdcore import Interrupted, JobEnd, RunFailed, UserError
from kdcore.plugins import get_plugins
from kdcore.run import preflight
from kdcore.run.signals import StopRequest
from kdcore.rundir.directory import RunDirectory

EPOCHS = 6


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Played:
    """Plays the runs: after each epoch a run's top-1 is its method's, times the epoch, plus its seed.

    Attributes:
        calls: a run's name and the epoch until which it was to be trained.
        fail: by name, why a run fails at its first epoch.
        after: by name, the epochs after which a run ends; it says that all is well.
        crash: by name, what goes wrong with a run's process when it has done everything.
        stop_after: so many runs are played, then somebody asks to stop.
    """

    scores: dict[str, float]

    name = "played"
    most = 1

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop
        self.calls: list[tuple[str, int | None]] = []
        self.fail: dict[str, str] = {}
        self.after: dict[str, int] = {}
        self.crash: dict[str, str] = {}
        self.stop_after = 10**6

    def __call__(self, launcher, limit, handles, stop, tick, note):
        return self

    def run(self, jobs, ended):
        for job in jobs:
            if self.stop.signal is not None:
                return
            spec = json.loads(Path(job.arguments[1]).read_text())
            until = int(job.arguments[3]) if len(job.arguments) > 2 else None
            self.calls.append((job.name, until))
            reason = self.fail.get(job.name)
            if reason is None:
                self.play(spec, RunDirectory(job.directory), self.after.get(job.name, until or EPOCHS))
                reason = self.crash.get(job.name)
            if len(self.calls) == self.stop_after:
                self.stop.signal = signal.SIGTERM
            ended(JobEnd(job.name, 0 if reason is None else 1, reason))

    @staticmethod
    def play(spec: dict[str, Any], directory: RunDirectory, until: int) -> None:
        directory.begin(spec, {})
        score = {"vanilla": 5.0, "kd": 9.0, "dkd": 8.0, "dist": 6.0, "nkd": 7.0}[spec["distiller"]["name"]]
        records = [
            {
                "epoch": epoch,
                "eval": {"top1": score * epoch + spec["seed"] ** 2, "top5": 99.0, "agreement": 50.0},
                "images_per_second": 100.0,
            }
            for epoch in range(1, until + 1)
        ]
        directory.write_metrics(records)
        student = {"model": "small", "parameters": 10, "top1": records[-1]["eval"]["top1"]}
        directory.write_summary(
            {
                "status": "finished" if until == EPOCHS else "paused",
                "student": student,
                "distiller": {"parameters": 3},
                "teacher": {"model": "big", "top1": 90.0, "parameters": 99},
                "wall_seconds": 2.0,
            }
        )


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    monkeypatch.setattr(preflight, "check", lambda loaded, plugins: SimpleNamespace(warnings=()))
    path = tmp_path / "base.json"
    teacher = {"model": "resnet18"}
    spec = {"teacher": teacher, "student": teacher, "distiller": "kd", "train": {"epochs": EPOCHS}}
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest()


@pytest.fixture
def played(stop: StopRequest, monkeypatch: pytest.MonkeyPatch) -> Played:
    jobs = Played(stop)
    monkeypatch.setattr(runner, "Jobs", jobs)
    return jobs


def plan(base: Path, *names: str, **fields: Any) -> ComparisonPlan:
    fields.setdefault("seeds", (0, 1, 2))
    return make_plan(Request((base,), distillers=names or None, **fields), get_plugins())


def go(found: ComparisonPlan, stop: StopRequest, notes: Notes | None = None) -> runner.ComparisonResult:
    launcher = SimpleNamespace(name="played")
    return runner.Runner(found, launcher, 2, notes or Notes(), stop).run()  # type: ignore[arg-type]


def test_every_run_once_and_everything_is_written(base: Path, stop: StopRequest, played: Played):
    found = plan(base, "kd", "dist")
    result = go(found, stop)
    assert played.calls == [
        (f"{name}-seed{seed}", None) for name in ("vanilla", "kd", "dist") for seed in (0, 1, 2)
    ]
    assert result.status == "finished"
    assert [row.label for row in result.ranked()] == ["kd", "dist", "vanilla"]
    kd = result.ranked()[0]
    assert kd.score == pytest.approx(54 + 5 / 3)
    assert kd.gain is not None
    assert (kd.gain.mean, kd.gain.half) == (
        pytest.approx(24),
        pytest.approx(0),
    )  # the seeds' part is paired away
    assert (kd.extra_parameters, kd.wall_seconds, kd.images_per_second) == (3, 2.0, 100.0)
    assert result.teacher == {"model": "big", "top1": 90.0, "parameters": 99}
    assert result.curves["kd"][0] == pytest.approx(9 + 5 / 3)
    for name in ("table.csv", "table.md", "table.tex", "comparison.html", "figures/scores.svg"):
        assert (found.folder / name).stat().st_size > 100
    written = json.loads((found.folder / "comparison.json").read_text())
    assert written["status"] == "finished"
    assert written["methods"][1]["gain"]["pairs"] == 3
    assert "paired by seed" in written["interval"]
    assert written["corrected_for"] == 2
    assert "corrected for 2 methods" in written["corrected_interval"]
    assert written["methods"][1]["gain"]["corrected_high"] == pytest.approx(24)
    assert written["lead"] == {"highest": "kd", "best": "kd", "unclear": [], "others": 2}


def test_what_is_finished_is_not_repeated(base: Path, stop: StopRequest, played: Played):
    go(plan(base, "kd"), stop)
    played.calls.clear()
    go(plan(base, "kd"), stop)
    assert played.calls == []
    result = go(plan(base, "kd", "nkd", seeds=(0, 1, 2, 3)), stop)
    assert {name for name, _ in played.calls} == {
        "vanilla-seed3",
        "kd-seed3",
        *(f"nkd-seed{seed}" for seed in range(4)),
    }
    assert [row.finished for row in result.methods] == [4, 4, 4]


def test_an_interrupted_comparison_goes_on(base: Path, stop: StopRequest, played: Played):
    played.stop_after = 3
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM: 3 of 6 runs are finished") as caught:
        go(plan(base, "kd"), stop)
    assert caught.value.exit_code == 143
    folder = plan(base, "kd").folder
    assert json.loads((folder / "comparison.json").read_text())["status"] == "interrupted"
    stop.signal, played.stop_after = None, 10**6
    played.calls.clear()
    assert go(plan(base, "kd"), stop).status == "finished"
    assert [name for name, _ in played.calls] == ["kd-seed0", "kd-seed1", "kd-seed2"]


def test_a_run_that_fails_stops_no_other_and_is_tried_again(base: Path, stop: StopRequest, played: Played):
    played.fail = {"kd-seed1": "loss is nan"}
    notes = Notes()
    result = go(plan(base, "kd", "dkd"), stop, notes)
    assert len(played.calls) == 9
    assert result.status == "failed"
    (failure,) = result.failures()
    assert (failure.method, failure.seed, failure.error) == ("kd", 1, "loss is nan")
    assert any("failed: kd, seed 1: loss is nan" in text for text in notes.texts)
    kd = result.methods[1]
    assert (kd.status, kd.finished, kd.runs) == ("partial", 2, 3)
    assert kd.gain is not None
    assert kd.gain.pairs == 2
    played.fail, played.calls = {}, []
    assert go(plan(base, "kd", "dkd"), stop).status == "finished"
    assert played.calls == [("kd-seed1", None)]


def test_a_finished_run_is_finished_though_its_process_crashed_at_its_end(
    base: Path, stop: StopRequest, played: Played
):
    played.crash = {"kd-seed1": "killed by SIGSEGV"}
    result = go(plan(base, "kd"), stop)
    assert (result.status, result.failures()) == ("finished", [])
    assert result.methods[1].finished == 3


@pytest.mark.parametrize("budget", [None, "2"])
def test_a_run_that_ends_before_its_time_has_failed(
    budget: str | None, base: Path, stop: StopRequest, played: Played
):
    played.after = {"kd-seed1": 1}
    notes = Notes()
    result = go(plan(base, "kd", budget=budget, eta=2), stop, notes)
    assert [(run.method, run.seed, run.error) for run in result.failures()] == [
        ("kd", 1, "it ended without a result")
    ]
    assert any(text.startswith("failed: kd, seed 1: it ended without a result") for text in notes.texts)


def test_a_budget_drops_the_worst_and_the_baseline_is_not_judged(
    base: Path, stop: StopRequest, played: Played
):
    notes = Notes()
    found = plan(base, "dist", "kd", "nkd", "dkd", budget="1,3", eta=2)
    result = go(found, stop, notes)
    first = [(f"{name}-seed{seed}", 1) for name in ("dist", "kd", "nkd", "dkd") for seed in range(3)]
    second = [(f"{name}-seed{seed}", 3) for name in ("kd", "dkd") for seed in range(3)]
    last = [(f"{name}-seed{seed}", None) for name in ("vanilla", "kd") for seed in range(3)]
    assert played.calls == first + second + last
    rows = {row.label: row for row in result.methods}
    assert {label: (row.status, row.dropped_after) for label, row in rows.items()} == {
        "vanilla": ("finished", None),
        "dist": ("dropped", 1),
        "kd": ("finished", None),
        "nkd": ("dropped", 1),
        "dkd": ("dropped", 3),
    }
    assert rows["dkd"].dropped_at == pytest.approx(24 + 5 / 3)
    assert rows["dkd"].score is None
    assert [row.label for row in result.ranked()] == ["kd", "vanilla", "dkd", "nkd", "dist"]
    assert (result.epochs_trained, result.epochs_planned) == (3 * (6 + 6 + 3 + 1 + 1), 3 * 5 * 6)
    assert any(
        text.startswith("after epoch 1: 2 of 4 methods continue: kd 10.67, dkd 9.67") for text in notes.texts
    )
    # nothing is left to do, and the same are dropped
    played.calls.clear()
    again = go(plan(base, "dist", "kd", "nkd", "dkd", budget="1,3", eta=2), stop)
    assert played.calls == []
    assert again.methods == result.methods
    # without the budget the dropped ones go on
    whole = go(plan(base, "dist", "kd", "nkd", "dkd"), stop)
    assert {name for name, _ in played.calls} == {
        f"{name}-seed{seed}" for name in ("dist", "nkd", "dkd") for seed in range(3)
    }
    assert all(row.status == "finished" for row in whole.methods)


def test_in_a_budget_what_failed_does_not_go_on(base: Path, stop: StopRequest, played: Played):
    played.fail = {f"kd-seed{seed}": "loss is nan" for seed in range(3)} | {"dkd-seed0": "a file is gone"}
    result = go(plan(base, "kd", "dkd", "dist", budget="2", eta=3), stop)
    rows = {row.label: row for row in result.methods}
    assert (rows["kd"].status, rows["kd"].finished) == ("partial", 0)
    assert (rows["dkd"].status, rows["dkd"].finished) == ("partial", 2)
    assert rows["dist"].status == "dropped"
    assert len(result.failures()) == 4


def test_the_teacher_is_trained_once_before_the_runs(base: Path, stop: StopRequest, played: Played):
    spec = json.loads(base.read_text())
    (base.parent / "big.json").write_text(json.dumps({**spec, "teacher": None, "distiller": "vanilla"}))
    base.write_text(json.dumps({**spec, "teacher": {"run": "big.json"}}))
    played.fail = {"teacher-big": "the disk is full"}
    with pytest.raises(RunFailed, match="the teacher 'big' failed: the disk is full"):
        go(plan(base, "kd"), stop)
    assert [name for name, _ in played.calls] == ["teacher-big"]
    played.fail, played.after = {}, {"teacher-big": 1}
    with pytest.raises(RunFailed, match="the teacher 'big' failed: it ended without a result"):
        go(plan(base, "kd"), stop)
    played.after, played.stop_after, played.calls = {"teacher-big": 1}, 1, []
    with pytest.raises(Interrupted):  # it was asked to
        go(plan(base, "kd"), stop)
    stop.signal, played.stop_after = None, 10**6
    played.after, played.crash, played.calls = {}, {"teacher-big": "killed by SIGSEGV"}, []
    go(plan(base, "kd"), stop)
    assert [name for name, _ in played.calls] == ["teacher-big", *(run.name for run in plan(base, "kd").runs)]
    played.calls.clear()
    go(plan(base, "kd", seeds=(7,)), stop)
    assert [name for name, _ in played.calls] == ["vanilla-seed7", "kd-seed7"]


def test_an_error_of_the_launcher_is_written_down(
    base: Path, stop: StopRequest, played: Played, monkeypatch: pytest.MonkeyPatch
):
    play = played.play
    found = plan(base, "kd", seeds=(0,))

    def run(jobs, ended):
        found_running.append(status(found))
        spec = json.loads(Path(jobs[0].arguments[1]).read_text())
        play(spec, RunDirectory(jobs[0].directory), 2)
        raise RunFailed("the queue is gone")

    def status(of: ComparisonPlan) -> str:
        return str(json.loads((of.folder / "comparison.json").read_text())["status"])

    found_running: list[str] = []
    monkeypatch.setattr(played, "run", run)
    with pytest.raises(RunFailed, match="the queue is gone"):
        go(found, stop)
    assert (found_running, status(found)) == (["running"], "failed")


def test_a_damaged_file_of_a_run_is_written_down(base: Path, stop: StopRequest, played: Played, monkeypatch):
    play = Played.play

    def play_and_damage(spec: dict[str, Any], directory: RunDirectory, until: int) -> None:
        play(spec, directory, until)
        (directory.path / "metrics.jsonl").write_text("[")

    monkeypatch.setattr(Played, "play", staticmethod(play_and_damage))
    found = plan(base, "kd", seeds=(0,))
    with pytest.raises(UserError, match="damaged"):
        go(found, stop)
    assert json.loads((found.folder / "comparison.json").read_text())["status"] == "failed"


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose report is made; that of kd with seed 1 cannot be made."""
    names: list[str] = []

    def report(path: Path) -> SimpleNamespace:
        names.append(path.name)
        if path.name == "kd-seed1":
            raise RuntimeError("no such font")
        (path / "report.html").write_text("a page")
        return SimpleNamespace(path=path / "report.html")

    monkeypatch.setattr(kd_report, "report", report)
    return names


def test_reports_are_made_after_the_runs_and_only_where_missing(
    base: Path, stop: StopRequest, played: Played, reported: list[str]
):
    played.fail = {"vanilla-seed0": "loss is nan"}
    notes = Notes()
    found = plan(base, "kd", reports=True)
    result = go(found, stop, notes)
    assert reported == ["vanilla-seed1", "vanilla-seed2", "kd-seed0", "kd-seed1", "kd-seed2"]
    assert result.status == "failed"  # for the run, not for the report
    assert [Path(run.report).parent.name if run.report else None for run in result.runs] == [
        None,
        "vanilla-seed1",
        "vanilla-seed2",
        "kd-seed0",
        None,
        "kd-seed2",
    ]
    (note,) = [text for text in notes.texts if "could not be made" in text]
    assert note.startswith(
        "report 4/5  kd, seed 1: it could not be made (RuntimeError: no such font); 'kd report "
    )
    page = (found.folder / "comparison.html").read_text()
    assert 'href="runs/kd-seed0/report.html"' in page
    assert "<code>kd report runs/kd-seed1</code>" in page
    written = json.loads((found.folder / "comparison.json").read_text())
    assert written["runs"][1]["report"].endswith("report.html")
    reported.clear()
    played.fail = {}
    assert go(found, stop).status == "finished"
    assert reported == ["vanilla-seed0", "kd-seed1"]


def test_without_the_flag_no_report_is_made(
    base: Path, stop: StopRequest, played: Played, reported: list[str]
):
    found = plan(base, "kd", seeds=(0,))
    result = go(found, stop)
    assert (reported, result.runs[0].report) == ([], None)
    assert "<code>kd report runs/kd-seed0</code>" in (found.folder / "comparison.html").read_text()


def test_a_request_to_stop_ends_the_reports_and_keeps_the_result(
    base: Path, stop: StopRequest, played: Played, reported: list[str], monkeypatch: pytest.MonkeyPatch
):
    make = kd_report.report

    def once(path: Path) -> Any:
        stop.signal = signal.SIGINT
        return make(path)

    monkeypatch.setattr(kd_report, "report", once)
    found = plan(base, "kd", reports=True)
    with pytest.raises(
        Interrupted, match="stopped by SIGINT: all runs have ended, 5 of them without a report"
    ):
        go(found, stop)
    assert len(reported) == 1
    assert json.loads((found.folder / "comparison.json").read_text())["status"] == "finished"


def test_two_calls_at_once_are_refused(base: Path, stop: StopRequest, played: Played):
    found = plan(base, "kd")
    with RunDirectory(found.folder).locked(), pytest.raises(UserError, match="another process uses"):
        go(found, stop)


def test_gains_on_the_test_images(
    base: Path, stop: StopRequest, played: Played, monkeypatch: pytest.MonkeyPatch
):
    tested = {"vanilla": (50.0, 52.0, 54.0), "kd": (53.0, 54.0, 58.0)}  # differences 3, 2 and 4
    play = Played.play

    def play_and_test(spec: dict[str, Any], directory: RunDirectory, until: int) -> None:
        play(spec, directory, until)
        top1 = tested[spec["distiller"]["name"]][spec["seed"]]
        summary = json.loads((directory.path / "summary.json").read_text())
        directory.write_summary(
            {**summary, "test": {"split": "holdout", "size": 9, "student": {"top1": top1}}}
        )

    monkeypatch.setattr(Played, "play", staticmethod(play_and_test))
    rows = {row.label: row for row in go(plan(base, "kd"), stop).methods}
    assert rows["vanilla"].test_score == pytest.approx(52)
    assert rows["vanilla"].test_gain is None
    gain = rows["kd"].test_gain
    assert gain is not None
    assert (rows["kd"].test_score, gain.mean, gain.pairs) == (pytest.approx(55), pytest.approx(3), 3)
    assert gain.half == pytest.approx(4.302653 / 3**0.5, abs=1e-5)  # t of 2 degrees of freedom, deviation 1
    assert rows["kd"].score != rows["kd"].test_score


def test_with_a_budget_each_rung_is_left_to_the_user_before_the_next(
    base: Path, stop: StopRequest, played: Played, monkeypatch: pytest.MonkeyPatch
):
    given: list[tuple[str, ...]] = []

    def run(jobs, ended):
        given.append(tuple(" ".join((job.name, *job.arguments[2:])) for job in jobs))
        for job in jobs:
            ended(JobEnd(job.name, 0, later=f"run {job.name}"))

    play = played.run
    monkeypatch.setattr(played, "run", run)
    found = plan(base, "kd", "dkd", seeds=(0,), budget="2", eta=2)
    result = go(found, stop)
    assert (result.status, result.commands) == ("prepared", ("run kd-seed0", "run dkd-seed0"))
    assert given == [("kd-seed0 --until 2", "dkd-seed0 --until 2")]
    assert [run.status for run in result.runs] == ["waiting"] * 3
    for name in ("kd", "dkd"):  # the user runs them
        spec = json.loads((found.folder / "specs" / f"{name}-seed0.json").read_text())
        played.play(spec, RunDirectory(found.folder / "runs" / f"{name}-seed0"), 2)
    result = go(found, stop)
    assert (result.status, given[-1]) == ("prepared", ("vanilla-seed0", "kd-seed0"))
    monkeypatch.setattr(played, "run", play)
    assert go(found, stop).status == "finished"
