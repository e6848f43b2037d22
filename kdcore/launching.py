"""`Launcher`, and the values that it and a command exchange. Importing this module needs no torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LaunchSetup:
    """What a launcher is built from, in addition to its options.

    Attributes:
        folder: a folder for files of the launcher's own, such as scripts; it is the same when the call is repeated.
        jobs: the most jobs that may run at the same time; None: the launcher chooses.
    """

    folder: Path
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchJob:
    """A run to start: a call of `kd` in a process of its own.

    Attributes:
        name: no other job of the same folder has it; letters, digits and "_.-".
        arguments: of `kd`.
        folder: the working folder.
        directory: the run directory.
        log: the file that standard output and standard error are added to. Its folder may not exist yet.
        environment: variables that are set in addition to those of the launcher's own processes.
        gpus: how many GPUs it can use. A run without a GPU uses the CPU.
        cpus: how many processes it has: itself, and those that load images.
        alone: no other job runs at the same time, so it may use the whole machine.
    """

    name: str
    arguments: tuple[str, ...]
    folder: Path
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 1
    cpus: int = 1
    alone: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command, with the Python of this process."""
        return (sys.executable, "-m", "kdcore", *self.arguments)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended.

    Attributes:
        name: of the job.
        code: its exit code; negative: the signal that ended it. 0 if it is not known: the run directory shows whether
            the run is finished.
        reason: why it failed, if the launcher knows it. None: the reason is read from the log.
        later: not None: it was not started here. Others start it, and the next call of the same command looks for its
            result. The text is the command that the user runs for it; empty: it is in progress already.
    """

    name: str
    code: int
    reason: str | None = None
    later: str | None = None


@runtime_checkable
class Launcher(Protocol):
    """Starts runs: as processes of this machine, in the queue of a cluster, or elsewhere.

    Its class is called as `(options, setup)`: its entry's options, or None if the entry has none, and a `LaunchSetup`.
    All methods are called by one thread, several times a second, and none of them waits for a job. An exception ends
    the comparison; all jobs are asked to stop before.
    """

    def start(self, job: LaunchJob) -> str | None:
        """Start a job, and return a text by which `attach` finds it again, such as its number in a queue.

        None: there is no room for it now; `start` is called with it again.
        """
        ...

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """Take over a job that an earlier process started, which is gone; `handle` is what `start` returned there.

        True: `ended` reports its end, even if it has ended already. False: it does not exist any more, or it stops by
        itself; it is started again as soon as no process is at work in its run directory.
        """
        ...

    def ended(self) -> Sequence[JobEnd]:
        """The jobs that have ended since the last call."""
        ...

    def stop(self, names: Sequence[str]) -> None:
        """Ask jobs to stop, as SIGTERM does: a run writes a checkpoint and exits. `ended` reports them later."""
        ...
