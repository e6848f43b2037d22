"""Runs started by a launcher: waited for, asked to stop, found again after the comparison's process died."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_compare.reasons import last_error, reason_of
from kd_compare.shared_folder import look_again
from kdcore import JobEnd, RunDirectory, RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kd_compare.handles import Handles
    from kdcore import Launcher, LaunchJob
    from kdcore.plugin import StopRequest

POLL: Final = 0.2  # seconds
PATIENCE: Final = 60.0  # seconds that jobs have to end after an error of our own
_STOPPED: Final = (129, 130, 143, -signal.SIGTERM)  # the last where it was still importing


@dataclass
class _Running:
    job: LaunchJob
    log_start: int
    again: bool = False  # an earlier call started it with other arguments
    asked: bool = False


class Jobs:
    """Jobs of a comparison in the hands of a launcher.

    Attributes:
        most: the most jobs that ran at the same time.

    Args:
        launcher: starts them.
        limit: the most that may run at the same time; None: the launcher chooses.
        handles: those of this and of earlier calls.
        stop: once it has a signal, jobs are asked to stop and no more are started.
        tick: called several times a second with the names of the jobs that run.
        note: called with a line for the user.
    """

    def __init__(
        self,
        launcher: Launcher,
        limit: int | None,
        handles: Handles,
        stop: StopRequest,
        tick: Callable[[Sequence[str]], None],
        note: Callable[[str], None],
    ) -> None:
        self.most = 0
        self._launcher = launcher
        self._limit = limit
        self._handles = handles
        self._stop = stop
        self._tick = tick
        self._note = note
        self._noted: set[Path] = set()
        self._running: dict[str, _Running] = {}

    def run(self, jobs: Sequence[LaunchJob], ended: Callable[[JobEnd], None]) -> None:
        """Run all jobs; `ended` is called with the end of each. Returns early after a request to stop.

        Raises:
            RunFailed: the launcher failed. The jobs that run were asked to stop.
        """
        try:
            waiting = [job for job in jobs if not self._attach(job)]
            while self._running or (waiting and self._stop.signal is None):
                self._collect(waiting, ended)
                if self._stop.signal is not None:
                    self._ask()
                else:
                    self._start(waiting)
                self.most = max(self.most, len(self._running))
                self._tick(list(self._running))
                time.sleep(POLL)
        except BaseException:
            self._leave()
            raise

    def _attach(self, job: LaunchJob) -> bool:
        found = self._handles.of(job.name)
        if found is None:
            return False
        if not self._launcher.attach(job, found.handle):
            said = last_error(job.log, found.log_start)
            if said is not None:
                self._note(
                    f"{job.name}: when it was last started, it ended with: {said} (its output: {job.log})"
                )
            return False
        self._note(f"{job.name} was started by an earlier call ({found.handle})")
        self._running[job.name] = _Running(job, found.log_start, again=found.arguments != job.arguments)
        return True

    def _start(self, waiting: list[LaunchJob]) -> None:
        for job in list(waiting):
            if self._limit is not None and len(self._running) >= self._limit:
                return
            if self._in_use(job):
                continue
            start = job.log.stat().st_size if job.log.exists() else 0
            handle = self._launcher.start(job)
            if handle is None:
                return
            self._running[job.name] = _Running(job, start)
            self._handles.put(job, handle, start)
            waiting.remove(job)

    def _in_use(self, job: LaunchJob) -> bool:
        """Whether another process is at work in the job's directory: a run of a killed comparison about to end."""
        if not RunDirectory(job.directory).in_use:
            return False
        if job.directory not in self._noted:
            self._noted.add(job.directory)
            self._note(f"waiting for another process that is at work in {job.directory}")
        return True

    def _collect(self, waiting: list[LaunchJob], ended: Callable[[JobEnd], None]) -> None:
        for end in self._launcher.ended():
            one = self._running.pop(end.name, None)
            if one is None:
                continue  # a launcher may report an end twice
            if end.later is not None:
                ended(end)
                continue
            self._handles.forget(end.name)
            look_again(one.job.directory)  # another machine may have written its last files
            stopped = one.asked and end.code in _STOPPED
            if one.again and not stopped:
                waiting.append(one.job)  # what it was to do then is done; now its arguments are others
                continue
            busy = end.code != 0 and not stopped and RunDirectory(one.job.directory).in_use
            if busy and self._stop.signal is None:
                waiting.append(
                    one.job
                )  # another process was faster, or the run still ends and its end was lost
                continue
            reason = None
            if end.code and not stopped and not busy:
                reason = end.reason or reason_of(end.code, one.job.log, one.log_start)
            ended(JobEnd(end.name, end.code, reason))

    def _ask(self) -> None:
        names = [name for name, one in self._running.items() if not one.asked]
        if names:
            self._launcher.stop(names)
        for name in names:
            self._running[name].asked = True

    def _leave(self) -> None:
        """After an error: ask all jobs to stop, and give them time to do it."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(RunFailed):  # the first error is the one to report
            self._ask()
            while self._running and time.monotonic() < until:
                self._collect([], lambda end: None)
                time.sleep(POLL)
