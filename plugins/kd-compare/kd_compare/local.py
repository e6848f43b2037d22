"""The launcher `local`: runs as processes of this machine, some at a time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kdcore import JobEnd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.local_options import LocalOptions
    from kdcore import LaunchJob, LaunchSetup

WORKER: Final = (sys.executable, "-m", "kd_compare.worker")
_THREADS: Final = "OMP_NUM_THREADS"
_DEVICES: Final = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Process:
    slot: int
    popen: subprocess.Popen[bytes]

    def ask(self) -> None:
        """Close its standard input: its worker stops the run then."""
        if self.popen.stdin is not None:
            with contextlib.suppress(OSError):
                self.popen.stdin.close()


class LocalLauncher:
    """Slots that processes run in; each gets its part of the threads, and one of several GPUs.

    If this process ends, the runs stop and write checkpoints: each holds the other end of a pipe. So no later process
    can take them over.
    """

    def __init__(self, options: LocalOptions, setup: LaunchSetup) -> None:
        self._options = options
        self._gpus = options.gpus or visible_gpus()
        self._slots = setup.jobs or max(1, len(self._gpus))
        self._running: dict[str, _Process] = {}

    def start(self, job: LaunchJob) -> str | None:
        """Start it in a free slot."""
        free = set(range(self._slots)) - {one.slot for one in self._running.values()}
        if not free:
            return None
        slot = min(free)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            popen = subprocess.Popen(  # noqa: S603  # this Python, and arguments of our own
                [*WORKER, *job.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=job.folder,
                env={**os.environ, **self._environment(slot, job.alone), **job.environment},
                start_new_session=True,  # a terminal's Ctrl-C is for us, who hand it on once
            )
        self._running[job.name] = _Process(slot, popen)
        return str(popen.pid)

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """False: a run stops when the process that started it ends."""
        return False

    def ended(self) -> list[JobEnd]:
        """The processes that have ended."""
        found = []
        for name, one in list(self._running.items()):
            code = one.popen.poll()
            if code is not None:
                one.ask()
                del self._running[name]
                found.append(JobEnd(name, code))
        return found

    def stop(self, names: Sequence[str]) -> None:
        """Ask them through their pipes, which works on every system."""
        for name in names:
            if name in self._running:
                self._running[name].ask()

    def _environment(self, slot: int, alone: bool) -> dict[str, str]:
        values = {}
        threads = self._options.threads
        if threads is not None or _THREADS not in os.environ:
            values[_THREADS] = str(threads or max(1, cores() // (1 if alone else self._slots)))
        if len(self._gpus) > 1 or self._options.gpus is not None:
            values[_DEVICES] = self._gpus[slot % len(self._gpus)]
        return values


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that runs may be given, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_DEVICES)
    return named.split(",")[:count] if named else [str(number) for number in range(count)]
