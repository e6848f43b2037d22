from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from kd_compare import pool as pools
from kd_compare.pool import Job, Pool, environments

from kdcore.run.signals import StopRequest
from kdcore.rundir.directory import RunDirectory


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Jobs are short programs instead of kd."""
    monkeypatch.setattr(pools, "COMMAND", (sys.executable, "-S", "-c"))

    def job(name: str, code: str) -> Job:
        return Job(name, [code], tmp_path / name, tmp_path / f"{name}.log")

    return job


def make(stop: StopRequest | None = None, slots: int = 2, tick=lambda jobs: None) -> tuple[Pool, list[str]]:
    notes: list[str] = []
    return Pool(
        [{"SLOT": str(slot)} for slot in range(slots)], stop or StopRequest(), tick, notes.append
    ), notes


def test_ends_are_told_with_their_reasons(script):
    jobs = [
        script("good", "import os; print(os.environ['SLOT'])"),
        script(
            "said", "import sys; print('epoch 1\\nerror: the disk\\n  is full', file=sys.stderr); sys.exit(1)"
        ),
        script("mute", "import sys; sys.exit(3)"),
        script("dead", "import os; os.kill(os.getpid(), 9)"),
        script("term", "import os; os.kill(os.getpid(), 15)"),
    ]
    ended = []
    make()[0].run(jobs, ended.append)
    assert {job.name: (job.code, job.reason) for job in ended} == {
        "good": (0, None),
        "said": (1, "the disk is full"),
        "mute": (3, "exit code 3"),
        "dead": (-9, "killed by SIGKILL (out of memory?)"),
        "term": (-15, "killed by SIGTERM"),
    }
    assert jobs[0].log.read_text().strip() in ("0", "1")


def test_a_reason_of_an_earlier_attempt_is_not_told_again(script):
    job = script("one", "import sys; sys.exit(1)")
    job.log.write_text("error: long ago\n")
    make()[0].run([job], lambda job: None)
    assert job.reason == "exit code 1"


def test_after_a_request_to_stop_jobs_see_their_stdin_close_and_no_more_begin(script):
    stop = StopRequest()
    wait = "import sys; sys.stdin.read(); sys.exit(143)"
    jobs = [script(name, wait) for name in "abc"]

    def tick(running):
        if len(running) == 2:
            stop.signal = signal.SIGINT

    ended = []
    make(stop, tick=tick)[0].run(jobs, ended.append)
    assert sorted(job.name for job in ended) == ["a", "b"]
    assert [job.reason for job in ended] == [None, None]
    assert jobs[2].code is None


def test_a_directory_that_another_process_is_at_work_in_is_waited_for(script):
    job = script("one", "")
    lock = RunDirectory(job.directory).locked()
    lock.__enter__()
    assert RunDirectory(job.directory).in_use
    seen = []

    def tick(running):
        seen.append(len(running))
        if len(seen) == 2:
            lock.__exit__(None, None, None)

    pool, notes = make(tick=tick)
    pool.run([job], lambda job: None)
    assert seen[:2] == [0, 0]
    assert notes == [f"waiting for another process that is at work in {job.directory}"]
    assert (job.code, RunDirectory(job.directory).in_use) == (0, False)


def test_threads_and_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environments(3, [], 8) == [{"KD_NO_REPORT": "1", "OMP_NUM_THREADS": "2"}] * 3
    assert environments(1, ["0"], 8) == [{"KD_NO_REPORT": "1", "OMP_NUM_THREADS": "8"}]
    given = environments(3, ["4", "7"], 2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in given] == ["4", "7", "4"]
    assert given[0]["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environments(2, [], 8) == [{"KD_NO_REPORT": "1"}] * 2


def test_an_error_of_our_own_leaves_nobody_behind(script, tmp_path: Path):
    mark = tmp_path / "ended"
    job = script("one", f"import sys; sys.stdin.read(); open({str(mark)!r}, 'w')")

    def tick(running):
        if running:
            raise KeyError("ours")

    with pytest.raises(KeyError):
        make(tick=tick)[0].run([job], lambda job: None)
    assert mark.exists()
