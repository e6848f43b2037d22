"""A run in a queue: what the queue's process does with it, on whichever machine it is started."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kd_compare.run_process import RunProcess
from kdcore.plugin import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kdcore import LaunchJob

STOPPED: Final = 143
THREADS: Final = "OMP_NUM_THREADS"
_POLL: Final = 0.5  # seconds between two looks at the run, and at the file that asks it to stop
_END: Final = {"code!": int}


@dataclass(frozen=True)
class TaskFiles:
    """The files by which a launcher and a task talk to each other; both see the launcher's folder.

    Attributes:
        folder: of the launcher.
        key: of the task; a run that is started again has another one.
    """

    folder: Path
    key: str

    @property
    def stop(self) -> Path:
        """Exists if the run is to stop."""
        return self.folder / f"{self.key}.stop"

    @property
    def end(self) -> Path:
        """Has the exit code of the run."""
        return self.folder / f"{self.key}.end.json"

    def ask(self) -> None:
        """Ask the run to stop."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stop.touch()

    def write_end(self, code: int) -> None:
        """Record that the run has ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.end, {"code": code})

    def code(self) -> int | None:
        """The exit code of the run; None: it has not ended."""
        try:
            return int(read_json(self.end, _END)["code"])
        except (OSError, ValueError):
            return None


@dataclass
class QueuedTask:
    """Trains a run in a process of its own, and waits for its end. It can be pickled.

    Attributes:
        job: the run.
        files: by which it is asked to stop.
        threads: of the run; None: what the environment says, or as many as it has processors.
        cpus: processors that the queue gives it.
        environment: variables of the run, in addition to those of the queue's process.
    """

    job: LaunchJob
    files: TaskFiles
    threads: int | None
    cpus: int
    environment: Mapping[str, str] = field(default_factory=dict)
    asked: bool = field(default=False, init=False)

    def train(self) -> int:
        """The exit code of the run."""
        if self.files.stop.exists():
            self.asked = True
            return STOPPED
        process = self.begin()
        while (end := process.ended()) is None:
            if not self.asked and self.files.stop.exists():
                self.asked = True
                process.ask()
            time.sleep(_POLL)
        return end.code

    def begin(self) -> RunProcess:
        """Start the run."""
        environment = {**os.environ, **self.environment, **self.job.environment}
        if self.threads is not None:
            environment[THREADS] = str(self.threads)
        environment.setdefault(THREADS, str(self.cpus))
        return RunProcess(self.job, environment)
