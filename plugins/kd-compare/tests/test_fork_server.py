"""Runs that are forked from a server. The server is real; torch, numpy and kd are stand-ins that cost no time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kd_compare import fork_client, run_process
from kd_compare import local as module
from kd_compare.local import LocalLauncher
from kd_compare.local_options import LocalOptions

from kdcore import JobEnd, LaunchJob, LaunchSetup

pytestmark = pytest.mark.skipif(not fork_client.can_fork(), reason="runs are forked on Linux alone")

SERVER = """
import sys, types
sys.modules["torch"] = torch = types.ModuleType("torch")
torch.cuda = types.SimpleNamespace(is_initialized=lambda: {in_use})
sys.modules["numpy"] = numpy = types.ModuleType("numpy")
numpy.random = types.SimpleNamespace(seed=lambda: print("seeded"))
from kd_compare import fork_server
fork_server.PRELOADED = ()
fork_server.run_kd = lambda: exec(sys.argv[1], {{"__name__": "__main__"}})
{change}
fork_server.main()
"""
AFTER_FORK = """
import os, signal
fork = os.fork
def fork_and_die():
    number = fork()
    if number:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
os.fork = fork_and_die
"""
NO_FORK = """
import os
def no_fork():
    raise BlockingIOError("too many processes")
os.fork = no_fork
"""
CUT_OFF = """
def cut_off(before, file):
    file.write('["os", "sy')
    file.flush()
fork_server._write_imported = cut_off
"""
UNTIL_ASKED = "import sys, os; print('begun', flush=True); os.read(0, 1); sys.exit(143)"


def server(in_use: bool = False, change: str = "") -> tuple[str, ...]:
    """The command of a server, in which `change` is executed first."""
    return (sys.executable, "-c", SERVER.format(in_use=in_use, change=change))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., LaunchJob]:
    """Makes a job that is a short program."""
    monkeypatch.setattr(fork_client, "SERVER", server())
    monkeypatch.setattr(run_process, "WORKER", (sys.executable, "-S", "-c"))
    monkeypatch.setattr(module, "visible_gpus", list)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def job(name: str, code: str, **fields) -> LaunchJob:
        return LaunchJob(
            name, (code,), tmp_path, tmp_path / name, tmp_path / "logs" / f"{name}.log", **fields
        )

    return job


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., LocalLauncher]:
    return lambda jobs=3, **options: LocalLauncher(
        LocalOptions(**options), LaunchSetup(tmp_path / "launcher", jobs)
    )


def wait(launcher: LocalLauncher, count: int) -> list[JobEnd]:
    found, until = list[JobEnd](), time.monotonic() + 240
    while len(found) < count:
        assert time.monotonic() < until, "it takes too long"
        found += launcher.ended()
        time.sleep(0.01)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.01)


def begun(job: LaunchJob) -> bool:
    return job.log.exists() and "begun" in job.log.read_text()


def test_each_end_is_reported_with_its_code_and_all_are_forked_by_one_server(script, make):
    launcher = make()
    parent = "import os; print(os.getppid()); "
    jobs = [
        script("good", parent),
        script("exits", parent + "raise SystemExit(3)"),
        script("dies", parent + "os.kill(os.getpid(), 9)"),
    ]
    handles = {launcher.start(job) for job in jobs}
    assert len(handles) == 1
    assert set(wait(launcher, 3)) == {JobEnd("good", 0), JobEnd("exits", 3), JobEnd("dies", -9)}
    assert launcher.ended() == []
    numbers = {job.log.read_text().split()[1] for job in jobs if job.name != "dies"}
    assert handles == {f"forked by {number}" for number in numbers}


def test_a_run_has_its_folder_variables_log_and_session(script, make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "visible_gpus", lambda: ["4", "7"])
    code = (
        "import os, sys; print(os.getcwd(), os.environ['EXTRA'], os.environ['CUDA_VISIBLE_DEVICES'], "
        "os.environ['OMP_NUM_THREADS'], os.getsid(0) == os.getpid()); print('an error', file=sys.stderr)"
    )
    jobs = [script(name, code, environment={"EXTRA": "yes"}) for name in "ab"]
    jobs[0].log.parent.mkdir()
    jobs[0].log.write_text("before\n")
    launcher = make(2)
    for job in jobs:
        launcher.start(job)
    wait(launcher, 2)
    texts = [job.log.read_text().splitlines() for job in jobs]
    folder = jobs[0].folder
    assert sorted(texts[0]) == sorted(["before", "seeded", f"{folder} yes 4 1 True", "an error"])
    assert f"{folder} yes 7 1 True" in texts[1]


def test_a_run_stops_when_it_is_asked_and_when_the_launcher_is_gone(script, make):
    launcher = make()
    jobs = [script(name, UNTIL_ASKED) for name in "ab"]
    for job in jobs:
        launcher.start(job)
    launcher.stop(["a", "unknown"])
    launcher.stop(["a"])
    assert wait(launcher, 1) == [JobEnd("a", 143)]
    wait_for(lambda: begun(jobs[1]))
    ended = "print('over', flush=True)"
    launcher.start(script("c", f"import os; print('begun', flush=True); os.read(0, 1); {ended}"))
    wait_for(lambda: begun(script("c", "")))
    del launcher  # as at the end of its process
    wait_for(lambda: "over" in script("c", "").log.read_text())


def test_a_server_in_which_a_device_is_in_use_forks_nothing(script, make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_client, "SERVER", server(in_use=True))
    launcher = make()
    job = script("one", "import os; print(os.getppid())")
    launcher.start(job)
    assert wait(launcher, 1) == [JobEnd("one", 0)]
    assert job.log.read_text() == f"{os.getpid()}\n"


def test_if_the_server_cannot_start_each_run_is_a_process(script, make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_client, "SERVER", (sys.executable, "-S", "-c", "raise SystemExit(1)"))
    launcher = make()
    launcher.start(script("one", "print('done')"))
    launcher.start(script("two", UNTIL_ASKED))
    launcher.stop(["two"])  # before anything has started
    assert set(wait(launcher, 2)) == {JobEnd("one", 0), JobEnd("two", 143)}
    launcher.start(script("three", ""))  # the server is gone
    assert wait(launcher, 1) == [JobEnd("three", 0)]


def test_the_runs_of_a_killed_server_are_reported_and_stop(script, make):
    launcher = make()
    job = script("a", "import os; print('begun', flush=True); os.read(0, 1); print('over', flush=True)")
    launcher.start(job)
    wait_for(lambda: begun(job))
    os.kill(launcher._server.number, signal.SIGKILL)
    (end,) = wait(launcher, 1)
    assert (end.code, end.reason) == (1, "the process that started it is gone")
    wait_for(lambda: "over" in job.log.read_text())
    launcher.start(script("b", ""))
    assert wait(launcher, 1) == [JobEnd("b", 0)]


def test_a_run_is_not_started_again_if_the_server_dies_as_soon_as_it_has_forked(
    script, make, monkeypatch: pytest.MonkeyPatch
):
    """A run of its own would be a second process in the same run directory."""
    monkeypatch.setattr(fork_client, "SERVER", server(change=AFTER_FORK))
    launcher = make()
    job = script("a", "print('begun', flush=True)")
    launcher.start(job)
    assert [(end.code, end.reason) for end in wait(launcher, 1)] == [
        (1, "the process that started it is gone")
    ]
    wait_for(lambda: begun(job))
    assert job.log.read_text().count("begun") == 1


def test_what_a_server_said_counts_though_it_died_with_requests_that_it_had_not_read(
    script, make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fork_client, "SERVER", server(change=AFTER_FORK))
    launcher = make()
    jobs = [script(name, "print('begun', flush=True)") for name in "ab"]
    for job in jobs:
        launcher.start(job)
    launcher._server._popen.wait()
    wait_for(lambda: begun(jobs[0]))  # nobody holds the server's end now; the second request is unread in it
    ends = {end.name: end.code for end in wait(launcher, 2)}
    assert ends == {"a": 1, "b": 0}
    for job in jobs:
        wait_for(lambda job=job: begun(job))
        assert job.log.read_text().count("begun") == 1


def test_if_the_system_refuses_the_fork_the_run_is_a_process(script, make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fork_client, "SERVER", server(change=NO_FORK))
    launcher = make()
    job = script("a", "import os; print(os.getppid())")
    launcher.start(job)
    assert wait(launcher, 1) == [JobEnd("a", 0)]
    assert job.log.read_text() == f"{os.getpid()}\n"
    assert not launcher._server.gone


def test_what_a_run_imported_is_there_for_the_next(
    script, make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "slow_to_import.py").write_text("import os; print('imported by', os.getpid(), flush=True)")
    (tmp_path / "fails_at_once.py").write_text("raise SystemExit(5)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    launcher = make(1)
    job = script("a", "import sys, slow_to_import; sys.modules['fails_at_once'] = sys")
    again = script("b", "import slow_to_import")
    for one in (job, again):
        launcher.start(one)
        assert wait(launcher, 1)[0].code == 0
    assert "imported by" in job.log.read_text()
    assert again.log.read_text() == "seeded\n"
    assert f"imported by {launcher._server.number}" in (tmp_path / "launcher" / "fork-server.log").read_text()


def test_the_server_goes_on_after_a_list_of_modules_that_was_cut_off(
    script, make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fork_client, "SERVER", server(change=CUT_OFF))
    launcher = make(1)
    for name in "ab":
        launcher.start(script(name, ""))
        assert wait(launcher, 1) == [JobEnd(name, 0)]
    assert not launcher._server.gone


def test_the_server_learns_of_ends_though_it_was_started_with_sigchld_ignored(script, make):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        launcher = make()
        launcher.start(script("a", "raise SystemExit(3)"))
        assert wait(launcher, 1) == [JobEnd("a", 3)]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_job_with_other_variables_and_one_alone_are_processes_of_their_own(script, make):
    show = "import os; print(os.getppid())"
    launcher = make(2)
    jobs = [
        script("alone", show, alone=True),
        script("first", show),
        script("other", show, environment={"A": "b"}),
    ]
    launcher.start(jobs[0])
    assert wait(launcher, 1)
    for job in jobs[1:]:
        launcher.start(job)
    wait(launcher, 2)
    parents = [job.log.read_text().split()[-1] for job in jobs]
    assert parents == [str(os.getpid()), str(launcher._server.number), str(os.getpid())]
