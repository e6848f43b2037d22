"""The launcher `slurm`: its options, what it makes of Slurm's answers, and tasks that submitit starts on this machine.

tests/compare/test_slurm.py compares methods through a real Slurm, where it is installed.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kd_compare import run_process
from kd_compare.queued_task import TaskFiles
from kd_compare.shared_folder import look_again
from kd_compare.slurm import SlurmLauncher
from kd_compare.slurm_options import SlurmOptions
from kd_compare.slurm_queue import SlurmQueue
from kd_compare.slurm_task import SlurmTask
from pydantic import ValidationError

from kdcore import JobEnd, LaunchJob, LaunchSetup, RunFailed, UserError

pytest.importorskip("submitit", reason="the launcher needs the extra 'slurm'")


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        (90, 90),
        ("90", 90),
        ("90:30", 91),
        ("12:00:00", 720),
        ("1-12", 2160),
        ("2-00:30", 2910),
        ("0-0:0:1", 1),
    ],
)
def test_times_as_sbatch_takes_them(time: Any, minutes: int):
    assert SlurmOptions(time=time).time == minutes


@pytest.mark.parametrize("time", ["soon", "1:2:3:4", 0, "-5"])
def test_other_times_are_refused(time: Any):
    with pytest.raises(ValidationError):
        SlurmOptions(time=time)


def test_values_as_a_command_line_and_a_file_give_them():
    options = SlurmOptions(setup="module load cuda", environment={"A": 1, "B": "x"})
    assert (options.setup, options.environment) == (["module load cuda"], {"A": "1", "B": "x"})
    options = SlurmOptions(memory=16000, account=1234, more={"nice": 5, "exclusive": True})
    assert (options.memory, options.account) == ("16000", "1234")
    assert options.more == {"nice": 5, "exclusive": True}


class FakeQueue:
    """Answers as Slurm does; the test sets the states."""

    def __init__(self) -> None:
        self.submitted: list[tuple[str, list[str], int, int]] = []
        self.answer: dict[str, str] | None = {}
        self.withdrawn: list[str] = []

    def submit(self, name: str, tasks: Sequence[SlurmTask], cpus: int, gpus: int) -> list[str]:
        self.submitted.append((name, [task.job.name for task in tasks], cpus, gpus))
        number = 6 + len(self.submitted)
        return [f"{number}_{place}" for place in range(len(tasks))]

    def states(self, names: Collection[str]) -> dict[str, dict[str, str]] | None:
        return None if self.answer is None else {name: dict(self.answer) for name in names}

    def withdraw(self, numbers: Sequence[str]) -> None:
        self.withdrawn += numbers


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    found = FakeQueue()
    monkeypatch.setattr("kd_compare.slurm.SlurmQueue", lambda options, folder: found)
    monkeypatch.setattr("kd_compare.slurm._LOOK", 0.0)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The launcher's clock, which stands still."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("kd_compare.slurm.time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., LaunchJob]:
    def make(name: str, *arguments: str, **fields: Any) -> LaunchJob:
        return LaunchJob(
            name, arguments, tmp_path, tmp_path / name, tmp_path / "logs" / f"{name}.log", **fields
        )

    return make


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., SlurmLauncher]:
    return lambda **options: SlurmLauncher(
        SlurmOptions(poll=1e-9, **options), LaunchSetup(tmp_path / "launcher", None)
    )


def test_what_starts_together_is_one_array_for_each_size(fake: FakeQueue, job, make):
    launcher = make()
    handles = [launcher.start(job(name)) for name in "abc"] + [launcher.start(job("d", cpus=3, gpus=0))]
    assert handles[0] == handles[1] == handles[2] != handles[3]
    assert fake.submitted == []
    assert launcher.ended() == []
    assert fake.submitted == [(handles[0], ["a", "b", "c"], 1, 1), (handles[3], ["d"], 3, 0)]


def test_each_end_has_its_code_or_a_reason(fake: FakeQueue, clock, job, make, tmp_path: Path):
    launcher = make()
    (handle,) = {launcher.start(job(name)) for name in "abcd"}
    fake.answer = {"7_0": "RUNNING", "7_1": "TIMEOUT", "7_2": "PENDING"}
    log = tmp_path / "launcher" / "submitit" / "7_1_0_log.err"
    log.parent.mkdir(parents=True)
    log.touch()
    for _ in range(5):  # they are submitted, and 87 seconds pass
        clock.now += 29
        assert launcher.ended() == []  # NFS may show the files later
    clock.now += 29
    TaskFiles(tmp_path / "launcher" / "tasks", f"a.{handle}").write_end(3)
    found = {end.name: end for end in launcher.ended()}
    assert found.keys() == {"a", "b", "d"}
    assert found["a"] == JobEnd("a", 3)
    assert found["b"].reason == f"Slurm ended it at its time limit (job 7_1); Slurm's own log is {log}"
    assert found["d"].reason is not None
    assert "Slurm does not know it any more" in found["d"].reason
    fake.answer = None  # the controller is busy
    assert launcher.ended() == []


def test_a_requeued_task_is_waited_for(fake: FakeQueue, clock, job, make):
    launcher = make()
    launcher.start(job("a"))
    for state in ("RUNNING", "NODE_FAIL", "PENDING", "PREEMPTED", "RUNNING"):
        fake.answer = {"7_0": state}
        clock.now += 100
        assert launcher.ended() == []


def test_what_nfs_remembers_of_the_folder_is_not_believed(
    fake: FakeQueue, job, make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    launcher = make()
    handle = launcher.start(job("a"))
    launcher.ended()
    fake.answer = {"7_0": "COMPLETED"}

    def show(folder: Path) -> None:
        assert folder == tmp_path / "launcher" / "tasks"
        TaskFiles(folder, f"a.{handle}").write_end(0)

    monkeypatch.setattr("kd_compare.slurm.look_again", show)
    assert launcher.ended() == [JobEnd("a", 0)]


def test_to_look_again_changes_no_mode(tmp_path: Path):
    folder = tmp_path / "folder"
    look_again(folder)  # it is not there
    folder.mkdir(mode=0o750)
    before = folder.stat()
    time.sleep(0.02)
    look_again(folder)
    after = folder.stat()
    assert after.st_mode == before.st_mode
    assert after.st_ctime_ns > before.st_ctime_ns


def test_tasks_that_sbatch_refuses_have_ended_when_they_are_asked_to_stop(
    fake: FakeQueue, job, make, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise the comparison waits for a minute for runs that were never submitted."""

    def refuse(*_: Any) -> list[str]:
        raise RunFailed("sbatch refused the job")

    monkeypatch.setattr(fake, "submit", refuse)
    launcher = make()
    for name in "ab":
        launcher.start(job(name))
    with pytest.raises(RunFailed):
        launcher.ended()
    launcher.stop(["a", "b"])
    assert launcher.ended() == [JobEnd("a", 143), JobEnd("b", 143)]


def test_tasks_are_asked_to_stop(fake: FakeQueue, job, make, tmp_path: Path):
    launcher = make()
    handle = launcher.start(job("waits"))
    launcher.start(job("runs"))
    launcher.ended()
    launcher.start(job("new"))
    launcher.stop(["waits", "runs", "new"])
    assert fake.withdrawn == ["7_0", "7_1"]
    fake.answer = {"7_1": "RUNNING"}
    assert launcher.ended() == [JobEnd("new", 143), JobEnd("waits", 143)]
    files = TaskFiles(tmp_path / "launcher" / "tasks", f"runs.{handle}")
    assert files.stop.exists()
    files.write_end(143)
    assert launcher.ended() == [JobEnd("runs", 143)]
    assert len(fake.submitted) == 1
    assert not make().attach(job("runs"), handle)  # it is started again


def test_a_later_process_finds_the_tasks(fake: FakeQueue, job, make, tmp_path: Path):
    first = make()
    handle = first.start(job("a"))
    first.start(job("b"))
    first.ended()
    later = make()
    assert [later.attach(job(name), handle) for name in "abc"] == [True, True, False]
    assert not later.attach(job("a"), "kd-unknown")
    TaskFiles(tmp_path / "launcher" / "tasks", f"b.{handle}").write_end(0)
    assert later.ended() == [JobEnd("b", 0)]


def test_tasks_whose_numbers_were_not_written_are_found_by_the_name_of_the_job(
    fake: FakeQueue, job, make, tmp_path: Path
):
    record = tmp_path / "launcher" / "arrays" / "kd-1.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"names": ["a", "b"]}))
    assert not make().attach(job("a"), "kd-1")  # sbatch was not called
    fake.answer = None
    with pytest.raises(RunFailed, match="Slurm does not answer"):  # else they would be submitted twice
        make().attach(job("a"), "kd-1")
    fake.answer = {"9_0": "RUNNING", "9_1": "PENDING"}
    launcher = make()
    assert launcher.attach(job("b"), "kd-1")
    launcher.stop(["b"])
    assert fake.withdrawn == ["9_1"]


def test_without_slurm_it_says_what_is_missing(job, make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="this machine does not have sbatch, squeue, scancel, srun"):
        make()


def test_without_submitit_it_says_what_to_install(make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"(?s)needs the package submitit.*(kd-compare\[slurm\]|submitit>=)"):
        make(cluster="local")


SQUEUE = """#!/bin/sh
[ "$4" = "--name=kd-1,kd-2" ] || exit 1
echo 'kd-1|12|N/A|RUNNING'
echo 'kd-2|13|0|PENDING'
echo 'kd-2|13|1|CANCELLED'
"""
SBATCH = """#!/bin/sh
for file; do :; done
cat "$file" >> "$0.got"
grep -q 'partition=wrong' "$file" && { echo 'sbatch: error: invalid partition specified: wrong' >&2; exit 1; }
echo 'Submitted batch job 41'
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"squeue": SQUEUE, "sbatch": SBATCH, "scancel": "", "srun": ""}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def task(job: LaunchJob, tmp_path: Path) -> SlurmTask:
    return SlurmTask(job, TaskFiles(tmp_path / "tasks", job.name), None, 2)


def test_what_squeue_says(commands: Path, tmp_path: Path):
    queue = SlurmQueue(SlurmOptions(), tmp_path)
    states = {"kd-1": {"12": "RUNNING"}, "kd-2": {"13_0": "PENDING", "13_1": "CANCELLED"}}
    assert queue.states(["kd-1", "kd-2"]) == states
    assert queue.states(["kd-3"]) is None


def test_what_sbatch_gets(commands: Path, tmp_path: Path, job):
    options = SlurmOptions(
        partition="main",
        time="2:00:00",
        memory="16G",
        setup="module load cuda",
        at_once=1,
        python="/opt/python",
        more={"mail-user": "me@example.org"},
    )
    queue = SlurmQueue(options, tmp_path / "submitit")
    tasks = [task(job(name), tmp_path) for name in "ab"]
    assert queue.submit("kd-1", tasks, 3, 1) == ["41_0", "41_1"]
    text = (commands / "sbatch.got").read_text()
    for part in ("partition=main", "time=120", "mem=16G", "job-name=kd-1", "cpus-per-task=3"):
        assert f"#SBATCH --{part}\n" in text
    for part in ("gpus-per-node=1", "array=0-1%1", "signal=USR2@120", "mail-user=me@example.org"):
        assert f"#SBATCH --{part}\n" in text
    assert "\nmodule load cuda\n" in text
    assert "--cpus-per-task=3 /opt/python -u -m submitit.core._submit" in text


def test_what_sbatch_refuses(commands: Path, tmp_path: Path, job):
    queue = SlurmQueue(SlurmOptions(partition="wrong"), tmp_path / "submitit")
    with pytest.raises(RunFailed, match=r"sbatch refused the job.*invalid partition specified: wrong"):
        queue.submit("kd-1", [task(job("a"), tmp_path)], 1, 0)


def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_process, "WORKER", (sys.executable, "-S", "-c"))


def test_a_task_writes_the_exit_code_of_its_run(job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(monkeypatch)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    one = task(job("a", "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit(3)"), tmp_path)
    pickle.loads(pickle.dumps(one))()
    assert one.files.code() == 3
    assert one.job.log.read_text() == "2\n"


def test_a_task_stops_its_run(job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(monkeypatch)
    one = task(job("a", "import sys; print('begun'); sys.stdin.read(); sys.exit(143)"), tmp_path)
    begin = SlurmTask.begin

    def begin_and_ask(self):
        self.files.ask()
        return begin(self)

    monkeypatch.setattr(SlurmTask, "begin", begin_and_ask)
    one()
    assert one.files.code() == 143
    assert one.job.log.read_text() == "begun\n"
    again = task(job("a", "raise SystemExit(1)"), tmp_path)  # asked before it was started
    again()
    assert again.files.code() == 143


def test_before_preemption_the_run_is_asked_and_the_task_is_ready_to_go_on(
    job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(monkeypatch)
    code = (
        "import signal, sys; print(signal.getsignal(signal.SIGUSR2).name); sys.stdin.read(); print('saved')"
    )
    one = task(job("a", code), tmp_path)
    one.begin()
    again = one.checkpoint().function
    assert one.job.log.read_text() == "SIG_IGN\nsaved\n"
    assert (again.job, again.files, again.asked) == (one.job, one.files, False)
    assert one.files.code() is None


@pytest.mark.parametrize(("state", "requeued"), [("RUNNING", True), ("CANCELLED", False)])
def test_a_run_that_slurm_stops_is_requeued_unless_it_was_cancelled(
    state: str, requeued: bool, job, commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(monkeypatch)
    (commands / "squeue").write_text(f'#!/bin/sh\n[ "$3" = --jobs=5_2 ] && echo {state}\n')
    (commands / "scontrol").write_text('#!/bin/sh\necho "$@" >"$0.got"\n')
    (commands / "scontrol").chmod(0o755)
    for name, value in {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_ARRAY_JOB_ID": "5",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_JOB_ID": "9",
    }.items():
        monkeypatch.setenv(name, value)
    one = task(job("a", "raise SystemExit(143)"), tmp_path)
    with pytest.raises(SystemExit) as ended:
        one()
    assert ended.value.code == 143
    assert one.files.code() is None
    assert (commands / "scontrol.got").exists() == requeued


def test_submitit_starts_tasks_on_this_machine(job, make):
    launcher = make(cluster="local")
    handle = launcher.start(job("version", "--version", gpus=0))
    assert handle is not None
    assert launcher.start(job("no-room", "--version")) is None
    until, ends = time.monotonic() + 120, list[JobEnd]()
    while not ends:
        assert time.monotonic() < until, "it takes too long"
        ends = launcher.ended()
        time.sleep(0.05)
    assert ends == [JobEnd("version", 0)]
    assert job("version").log.read_text().startswith("kd ")
    until = time.monotonic() + 120
    # submitit's own process ends a little later
    while "RUNNING" in launcher._queue.states([handle])[handle].values():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)
