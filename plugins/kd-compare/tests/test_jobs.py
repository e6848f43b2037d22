"""The loop around a launcher. The launcher is played: its jobs end when the test says so."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from kd_compare import jobs as module
from kd_compare.handles import Handles
from kd_compare.jobs import Jobs

from kdcore import JobEnd, LaunchJob, RunDirectory, RunFailed
from kdcore.plugin import StopRequest


class Played:
    """A launcher whose jobs end at the poll after they were started.

    Attributes:
        ends: by a job's name, its end; 0 by default, or 143 if it was asked to stop.
        holds: jobs that only end when they are asked to.
        room: how many jobs it takes at a time.
    """

    def __init__(self, room: int = 10) -> None:
        self.room = room
        self.ends: dict[str, JobEnd] = {}
        self.holds: set[str] = set()
        self.known: dict[str, str] = {}
        self.running: list[str] = []
        self.stopped: list[str] = []
        self.calls: list[str] = []

    def start(self, job: LaunchJob) -> str | None:
        if len(self.running) >= self.room:
            return None
        self.calls.append(" ".join(("start", job.name, *job.arguments)))
        self.running.append(job.name)
        return f"number {job.name}"

    def attach(self, job: LaunchJob, handle: str) -> bool:
        self.calls.append(f"attach {job.name} {handle}")
        if handle not in self.known:
            return False
        self.running.append(job.name)
        return True

    def ended(self):
        found = [name for name in self.running if name not in self.holds or name in self.stopped]
        self.running = [name for name in self.running if name not in found]
        return [self.ends.get(name, JobEnd(name, 143 if name in self.stopped else 0)) for name in found]

    def stop(self, names):
        self.stopped += names


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "POLL", 0.0)


class Setting:
    """Jobs with everything around them."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.launcher = Played()
        self.stop = StopRequest()
        self.notes: list[str] = []
        self.ends: list[JobEnd] = []
        self.limit = limit
        self.ticks: list[list[str]] = []

    def tick(self, names) -> None:
        self.ticks.append(list(names))

    def job(self, name: str, *arguments: str) -> LaunchJob:
        return LaunchJob(name, arguments, self.folder, self.folder / name, self.folder / f"{name}.log")

    def run(self, *names: str, arguments: tuple[str, ...] = ()) -> Jobs:
        handles = Handles(self.folder, "played")
        jobs = Jobs(
            self.launcher, self.limit, handles, self.stop, lambda names: self.tick(names), self.notes.append
        )
        jobs.run([self.job(name, *arguments) for name in names], self.ends.append)
        return jobs


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_all_jobs_run_and_their_ends_have_reasons(setting: Setting):
    (setting.folder / "said.log").write_text("error: long ago\n")
    setting.launcher.ends = {
        "said": JobEnd("said", 1),
        "mute": JobEnd("mute", 3, "the time limit was reached"),
        "dead": JobEnd("dead", -9),
    }
    setting.run("good", "said", "mute", "dead")
    assert {end.name: (end.code, end.reason) for end in setting.ends} == {
        "good": (0, None),
        "said": (1, "exit code 1"),  # what an earlier attempt said is not the reason
        "mute": (3, "the time limit was reached"),
        "dead": (-9, "killed by SIGKILL (out of memory?)"),
    }


def test_a_job_without_room_is_started_later(setting: Setting):
    setting.launcher.room = 1
    jobs = setting.run("a", "b", "c")
    assert [end.name for end in setting.ends] == ["a", "b", "c"]
    assert jobs.most == 1


def test_no_more_run_at_the_same_time_than_the_user_allows(setting: Setting):
    setting.limit = 2
    assert setting.run("a", "b", "c", "d", "e").most == 2
    assert len(setting.ends) == 5


def test_after_a_request_to_stop_jobs_are_asked_and_no_more_are_started(setting: Setting):
    setting.launcher.room = 2
    setting.launcher.holds = {"a", "b"}

    def tick(names):
        if len(names) == 2:
            setting.stop.signal = signal.SIGINT

    setting.tick = tick  # type: ignore[method-assign]
    setting.run("a", "b", "c")
    assert setting.launcher.stopped == ["a", "b"]
    assert setting.ends == [JobEnd("a", 143), JobEnd("b", 143)]  # no reason: they were asked to


def test_a_directory_that_another_process_is_at_work_in_is_waited_for(setting: Setting):
    lock = RunDirectory(setting.folder / "a").locked()
    lock.__enter__()
    seen = []

    def tick(names):
        seen.append(list(names))
        if len(seen) == 3:
            lock.__exit__(None, None, None)

    setting.tick = tick  # type: ignore[method-assign]
    setting.run("a", "b")
    assert [end.name for end in setting.ends] == ["b", "a"]
    assert seen[1:3] == [[], []]
    assert setting.notes == [f"waiting for another process that is at work in {setting.folder / 'a'}"]


def test_the_directory_of_a_run_is_looked_at_again_before_its_end_is_judged(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
):
    """NFS may remember that its summary is not there."""
    seen: list[str] = []
    monkeypatch.setattr(module, "look_again", lambda folder: seen.append(f"look at {folder.name}"))
    handles = Handles(setting.folder, "played")
    jobs = Jobs(setting.launcher, None, handles, setting.stop, lambda names: None, setting.notes.append)
    jobs.run([setting.job("a")], lambda end: seen.append(f"end of {end.name}"))
    assert seen == ["look at a", "end of a"]


def lost(setting: Setting, release_after: int) -> list[list[str]]:
    """Another process gets the directory of the job `a` as that starts, and leaves it after some ticks."""
    lock, start, seen = RunDirectory(setting.folder / "a").locked(), setting.launcher.start, list[list[str]]()

    def start_too_late(job: LaunchJob) -> str | None:
        setting.launcher.start = start  # type: ignore[method-assign]
        lock.__enter__()
        return start(job)

    def tick(names):
        seen.append(list(names))
        if len(seen) == release_after:
            setting.launcher.ends.clear()
            lock.__exit__(None, None, None)

    setting.launcher.start, setting.tick = start_too_late, tick  # type: ignore[method-assign]
    setting.launcher.ends = {"a": JobEnd("a", 2)}
    return seen


def test_a_job_whose_directory_another_process_was_faster_to_use_is_started_again_after_it(setting: Setting):
    """Two comparisons that share a teacher see at the same moment that nobody trains it."""
    lost(setting, 4)
    setting.run("a")
    assert setting.launcher.calls == ["start a", "start a"]
    assert setting.ends == [JobEnd("a", 0)]
    assert setting.notes == [f"waiting for another process that is at work in {setting.folder / 'a'}"]


def test_after_a_request_to_stop_such_a_job_has_stopped(setting: Setting):
    lost(setting, 10**6)
    setting.launcher.holds = {"a"}
    tick = setting.tick

    def tick_and_stop(names):
        tick(names)
        setting.stop.signal = signal.SIGINT

    setting.tick = tick_and_stop  # type: ignore[method-assign]
    setting.run("a")
    assert setting.ends == [JobEnd("a", 2)]


# -- after this process died -------------------------------------------------------------------------------------


def die(setting: Setting, *names: str, arguments: tuple[str, ...] = ()) -> None:
    """An earlier call started these, and was killed."""
    handles = Handles(setting.folder, "played")
    for name in names:
        handles.put(setting.job(name, *arguments), f"number {name}", 0)


def test_jobs_of_an_earlier_call_are_taken_over(setting: Setting):
    die(setting, "a", "b")
    setting.launcher.known = {"number a": "runs"}
    setting.run("a", "b", "c")
    assert setting.launcher.calls == ["attach a number a", "attach b number b", "start b", "start c"]
    assert {end.name for end in setting.ends} == {"a", "b", "c"}
    assert setting.notes == ["a was started by an earlier call (number a)"]
    setting.launcher.calls.clear()
    setting.run("a")
    assert setting.launcher.calls == ["start a"]  # its end is known, so it is not looked for again


def test_a_job_that_was_started_with_other_arguments_is_started_again_after_its_end(setting: Setting):
    die(setting, "a", arguments=("run", "a.json", "--until", "3"))
    setting.launcher.known = {"number a": "runs"}
    setting.run("a", arguments=("run", "a.json"))
    assert setting.launcher.calls == ["attach a number a", "start a run a.json"]
    assert setting.ends == [JobEnd("a", 0)]


def test_an_end_that_is_reported_twice_counts_once(setting: Setting):
    launcher, ended = setting.launcher, setting.launcher.ended
    launcher.ended = lambda: [*ended(), *[JobEnd("a", 1)] * (not launcher.running)]  # type: ignore[method-assign]
    setting.run("a")
    assert setting.ends == [JobEnd("a", 0)]


# -- errors ------------------------------------------------------------------------------------------------------


def failing(*_):
    raise RunFailed("the queue is gone")


def test_if_starting_fails_those_that_run_are_asked_to_stop(setting: Setting):
    start = setting.launcher.start
    setting.launcher.holds = {"a", "b"}
    setting.launcher.start = lambda job: failing() if job.name == "c" else start(job)  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="the queue is gone"):
        setting.run("a", "b", "c")
    assert setting.launcher.stopped == ["a", "b"]
    assert setting.launcher.running == []  # they were waited for


def test_if_asking_for_ends_fails_those_that_run_are_asked_to_stop(setting: Setting):
    setting.launcher.ended = lambda: failing() if setting.launcher.running else []  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="the queue is gone"):
        setting.run("a", "b")
    assert setting.launcher.stopped == ["a", "b"]


def test_if_taking_over_fails_those_that_run_are_asked_to_stop(setting: Setting):
    die(setting, "a", "b")
    setting.launcher.known = {"number a": "runs"}
    setting.launcher.holds = {"a"}
    attach = setting.launcher.attach
    setting.launcher.attach = (  # type: ignore[method-assign]
        lambda job, handle: failing() if job.name == "b" else attach(job, handle)
    )
    with pytest.raises(RunFailed, match="the queue is gone"):
        setting.run("a", "b")
    assert setting.launcher.stopped == ["a"]


def test_if_stopping_fails_that_is_the_error(setting: Setting):
    setting.launcher.holds = {"a"}
    setting.launcher.stop = failing  # type: ignore[method-assign]
    setting.tick = lambda names: setattr(setting.stop, "signal", signal.SIGINT)  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="the queue is gone"):
        setting.run("a")


def test_an_error_of_our_own_leaves_nobody_behind(setting: Setting):
    setting.launcher.holds = {"a"}

    def tick(names):
        if names:
            raise KeyError("ours")

    setting.tick = tick  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        setting.run("a")
    assert (setting.launcher.stopped, setting.launcher.running) == (["a"], [])


def test_a_job_that_does_not_stop_after_an_error_is_not_waited_for_without_end(setting: Setting, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    setting.launcher.holds = {"a"}
    setting.launcher.stop = lambda names: None  # type: ignore[method-assign]
    setting.tick = lambda names: failing()  # type: ignore[method-assign]
    with pytest.raises(RunFailed):
        setting.run("a")
