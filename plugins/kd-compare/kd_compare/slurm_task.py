"""A task of a Slurm job: it trains a run, and goes back into the queue if Slurm gives its place to others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kd_compare.queued_task import QueuedTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_compare.run_process import RunProcess

_ASKED_BY_SIGNAL: Final = (129, 130, 143, -signal.SIGTERM)
_PREEMPTION: Final = "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")  # as submitit reads it


@dataclass
class SlurmTask(QueuedTask):
    """What submitit calls, and what it asks for a checkpoint.

    Slurm sends a signal before the time limit, and submitit then calls `checkpoint` and requeues the task. Before
    preemption Slurm sends SIGTERM to all processes, so the run writes its checkpoint by itself.
    """

    _process: RunProcess | None = None

    def __call__(self) -> None:
        """Train the run, and write its exit code, unless the task is to go on later."""
        code = self.train()
        if code in _ASKED_BY_SIGNAL and not self.asked and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            _go_back(_job())
        self.files.write_end(code)

    def begin(self) -> RunProcess:
        """Start the run. It ignores the signal that is for submitit: Slurm sends it to all processes of the task."""
        with _ignored(getattr(signal, _PREEMPTION)):
            self._process = super().begin()
        return self._process

    def checkpoint(self) -> Any:
        """The run writes a checkpoint and ends; returns what submitit starts after the task has been requeued."""
        import submitit

        if self._process is not None:
            self._process.ask()
            self._process.wait()
        again = SlurmTask(self.job, self.files, self.threads, self.cpus, self.environment)
        return submitit.helpers.DelayedSubmission(again)


def _go_back(job: str) -> None:
    """Requeue the task and end; if it was cancelled, or Slurm has requeued it already, only end."""
    asked = subprocess.run(  # noqa: S603  # a number that Slurm gave
        ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.stdout.strip() == "RUNNING":
        subprocess.run(["scontrol", "requeue", job], check=True)  # noqa: S603, S607
    sys.exit(_ASKED_BY_SIGNAL[2])


def _job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Processes that are started meanwhile ignore a signal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
