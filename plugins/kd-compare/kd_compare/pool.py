"""Runs as processes of their own, some at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from kd_report.switch import NO_REPORT

from kdcore import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from kdcore.plugin import StopRequest

COMMAND = (sys.executable, "-m", "kd_compare.worker")
_POLL: Final = 0.2  # seconds
_REASON: Final = 400  # characters of a failure that are shown
_THREADS: Final = "OMP_NUM_THREADS"
_STOPPED: Final = (129, 130, 143, -signal.SIGTERM)  # the last where it was still importing


@dataclass
class Job:
    """A call of `kd` in its own process.

    Attributes:
        name: for messages.
        arguments: of `kd`.
        directory: the run directory that it works in.
        log: the file that its output is added to.
        code: its exit code, once it has ended; negative: the signal that killed it.
        reason: why it failed; None where it did not.
    """

    name: str
    arguments: Sequence[str]
    directory: Path
    log: Path
    code: int | None = None
    reason: str | None = None


@dataclass
class _Running:
    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    log_start: int
    asked: bool = field(default=False)


class Pool:
    """Slots that jobs run in.

    Args:
        environments: additional environment variables of each slot's processes.
        stop: once it has a signal, jobs are asked to stop and no more are started.
        tick: called several times a second with the jobs that run.
        note: called with a line for the user.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        stop: StopRequest,
        tick: Callable[[Sequence[Job]], None],
        note: Callable[[str], None],
    ) -> None:
        self._environments = environments
        self._stop = stop
        self._tick = tick
        self._note = note
        self._told: set[Path] = set()

    def run(self, jobs: Iterable[Job], ended: Callable[[Job], None]) -> None:
        """Run all jobs; `ended` is called with each as it ends. Returns early after a request to stop."""
        waiting, running = list(jobs), list[_Running]()
        try:
            while running or (waiting and self._stop.signal is None):
                for one in list(running):
                    if self._over(one):
                        running.remove(one)
                        ended(one.job)
                if self._stop.signal is not None:
                    self._ask(running)
                else:
                    self._start(waiting, running)
                self._tick([one.job for one in running])
                time.sleep(_POLL)
        finally:
            self._ask(running)  # after an error of our own: none is left behind
            for one in running:
                one.process.wait()

    def _start(self, waiting: list[Job], running: list[_Running]) -> None:
        free = sorted(set(range(len(self._environments))) - {one.slot for one in running})
        for slot in free:
            job = next((job for job in waiting if not self._busy(job)), None)
            if job is None:
                return
            waiting.remove(job)
            running.append(self._begin(job, slot))

    def _begin(self, job: Job, slot: int) -> _Running:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(  # noqa: S603  # this Python, and arguments of our own
                [*COMMAND, *job.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environments[slot]},
                start_new_session=True,  # a terminal's Ctrl-C is for us, who hand it on once
            )
        return _Running(job, slot, process, start)

    def _busy(self, job: Job) -> bool:
        """Whether another process is at work in the job's directory: a run of a killed comparison about to end."""
        if not RunDirectory(job.directory).in_use:
            return False
        if job.directory not in self._told:
            self._told.add(job.directory)
            self._note(f"waiting for another process that is at work in {job.directory}")
        return True

    @staticmethod
    def _over(one: _Running) -> bool:
        code = one.process.poll()
        if code is None:
            return False
        _close(one.process.stdin)
        one.job.code = code
        if code and not (one.asked and code in _STOPPED):
            one.job.reason = _reason(code, one.job.log, one.log_start)
        return True

    @staticmethod
    def _ask(running: Iterable[_Running]) -> None:
        for one in running:
            if not one.asked:
                one.asked = True
                _close(one.process.stdin)


def environments(jobs: int, gpus: Sequence[str], cpus: int) -> list[dict[str, str]]:
    """What the processes of each of `jobs` slots are given: their part of the threads, and a GPU of several."""
    found = []
    for slot in range(jobs):
        # a report for each of many runs is more than anybody reads: kd report RUN makes one
        values = {NO_REPORT: "1"}
        if _THREADS not in os.environ:
            values[_THREADS] = str(max(1, cpus // jobs))
        if len(gpus) > 1:
            values["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        found.append(values)
    return found


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def _reason(code: int, log: Path, start: int) -> str:
    """What the process said at its end, or which signal ended it."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", "replace")
    told = text.rpartition("error: ")[2].strip() if "error: " in text else ""
    told = " ".join(told.split()) or f"exit code {code}"
    return told if len(told) <= _REASON else told[: _REASON - 3] + "..."
