"""The launcher `local`: real processes, which are short programs instead of kd."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from kd_compare import local as module
from kd_compare import run_process
from kd_compare.local import LocalLauncher
from kd_compare.local_options import LocalOptions

from kdcore import JobEnd, LaunchJob, LaunchSetup


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes a job that is a short program."""
    monkeypatch.setattr(run_process, "WORKER", (sys.executable, "-S", "-c"))
    monkeypatch.setattr(module, "visible_gpus", list)

    def job(name: str, code: str, **fields) -> LaunchJob:
        log = tmp_path / "logs" / f"{name}.log"
        return LaunchJob(name, (code,), tmp_path, tmp_path / name, log, **fields)

    return job


def make(jobs: int | None = 2, **options) -> LocalLauncher:
    return LocalLauncher(LocalOptions(fork=False, **options), LaunchSetup(Path("unused"), jobs))


def wait(launcher: LocalLauncher, count: int) -> list[JobEnd]:
    found, until = list[JobEnd](), time.monotonic() + 240
    while len(found) < count:
        assert time.monotonic() < until, "it takes too long"
        found += launcher.ended()
        time.sleep(0.01)
    return found


def test_each_end_is_reported_once_with_its_code(script):
    launcher = make(None)  # one at a time
    codes = {"good": "", "exits": "import sys; sys.exit(3)", "dies": "import os; os.kill(os.getpid(), 9)"}
    found = []
    for name, code in codes.items():
        assert launcher.start(script(name, code)).isdecimal()
        found += wait(launcher, 1)
    assert found == [JobEnd("good", 0), JobEnd("exits", 3), JobEnd("dies", -9)]
    assert launcher.ended() == []


def test_a_job_runs_in_its_folder_with_its_environment_and_adds_to_its_log(script, tmp_path: Path):
    job = script("one", "import os; print(os.getcwd(), os.environ['EXTRA'])", environment={"EXTRA": "yes"})
    job.log.parent.mkdir()
    job.log.write_text("before\n")
    launcher = make()
    launcher.start(job)
    wait(launcher, 1)
    assert job.log.read_text().splitlines() == ["before", f"{tmp_path} yes"]


def test_there_is_no_room_for_more_than_its_slots(script):
    launcher = make(2)
    until_asked = "import sys; sys.stdin.read(); sys.exit(143)"
    jobs = [script(name, until_asked) for name in "abc"]
    assert [launcher.start(job) is None for job in jobs] == [False, False, True]
    launcher.stop(["a", "unknown"])
    assert wait(launcher, 1) == [JobEnd("a", 143)]
    assert launcher.start(jobs[2]) is not None
    launcher.stop(["b", "c"])
    launcher.stop(["b"])  # a second time
    assert {end.name for end in wait(launcher, 2)} == {"b", "c"}


def test_no_job_of_an_earlier_process_is_taken_over(script):
    assert make().attach(script("one", ""), "1") is False


SHOW = "import os; print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('CUDA_VISIBLE_DEVICES'))"


def given(script, launcher: LocalLauncher, count: int, **fields) -> list[str]:
    """What each of several jobs sees, started together."""
    jobs = [script(f"job{number}", SHOW, **fields) for number in range(count)]
    for job in jobs:
        assert launcher.start(job) is not None
    wait(launcher, count)
    return [job.log.read_text().strip() for job in jobs]


def test_the_threads_are_divided_among_the_slots(script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "cores", lambda: 8)
    assert given(script, make(3), 3) == ["2 None"] * 3
    monkeypatch.setattr(module, "cores", lambda: 2)
    assert given(script, make(3), 1)[0].splitlines()[-1] == "1 None"


def test_a_job_that_runs_alone_gets_all_threads(script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "cores", lambda: 8)
    assert given(script, make(4), 1, alone=True) == ["8 None"]


def test_threads_that_the_user_chose_stay(script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert given(script, make(2), 1) == ["5 None"]
    assert given(script, make(2, threads=7), 1)[0].splitlines()[-1] == "7 None"


def test_several_gpus_are_divided_among_the_slots(script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(module, "visible_gpus", lambda: ["4", "7"])
    assert given(script, make(3), 3) == ["1 4", "1 7", "1 4"]
    assert given(script, make(None), 2)[1].splitlines()[-1] == "1 7"  # as many slots as GPUs


def test_one_gpu_is_left_as_it_is_and_named_ones_are_used(script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "visible_gpus", lambda: ["0"])
    assert given(script, make(1), 1) == ["1 None"]
    assert given(script, make(1, gpus="3"), 1)[0].splitlines()[-1] == "1 3"


@pytest.mark.parametrize(
    ("value", "gpus"), [("0,1", ["0", "1"]), (2, ["2"]), (["GPU-1"], ["GPU-1"]), (None, None)]
)
def test_gpus_as_a_command_line_gives_them(value, gpus):
    assert LocalOptions(gpus=value).gpus == gpus


def test_the_gpus_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert module.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert module.visible_gpus() == ["4", "7"]
