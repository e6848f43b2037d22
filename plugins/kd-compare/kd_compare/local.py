"""The launcher `local`: runs as processes of this machine, some at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kd_compare.fork_client import ForkedRun, ForkServerClient, can_fork
from kd_compare.run_process import RunProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kd_compare.local_options import LocalOptions
    from kdcore import JobEnd, LaunchJob, LaunchSetup

_THREADS: Final = "OMP_NUM_THREADS"
_DEVICES: Final = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Slotted:
    slot: int
    run: RunProcess | ForkedRun


class LocalLauncher:
    """Slots that processes run in; each gets its part of the threads, and one of several GPUs.

    On Linux the processes are forked from one that has imported torch and timm already. If this process ends, the runs
    stop and write checkpoints: each holds the other end of a pipe. So no later process can take them over.
    """

    def __init__(self, options: LocalOptions, setup: LaunchSetup) -> None:
        self._options = options
        self._folder = setup.folder
        self._gpus = options.gpus or visible_gpus()
        self._slots = setup.jobs or max(1, len(self._gpus))
        self._running: dict[str, _Slotted] = {}
        self._server: ForkServerClient | None = None

    def start(self, job: LaunchJob) -> str | None:
        """Start it in a free slot."""
        free = set(range(self._slots)) - {one.slot for one in self._running.values()}
        if not free:
            return None
        slot = min(free)
        environment = {**os.environ, **self._threads(job.alone), **job.environment}
        server = self._server_for(job, environment)
        run: RunProcess | ForkedRun
        if server is None:
            run = RunProcess(job, {**environment, **self._devices(slot), **job.environment})
        else:
            run = server.start(job, {**self._devices(slot), **job.environment})
        self._running[job.name] = _Slotted(slot, run)
        return run.handle

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """False: a run stops when the process that started it ends."""
        return False

    def ended(self) -> list[JobEnd]:
        """The processes that have ended."""
        found = []
        for name, one in list(self._running.items()):
            end = one.run.ended()
            if end is not None:
                del self._running[name]
                found.append(end)
        return found

    def stop(self, names: Sequence[str]) -> None:
        """Ask them through their pipes, which works on every system."""
        for name in names:
            if name in self._running:
                self._running[name].run.ask()

    def _server_for(self, job: LaunchJob, environment: dict[str, str]) -> ForkServerClient | None:
        """The server that has this environment, started now if it is the first; libraries read theirs when imported."""
        if not self._options.fork or not can_fork():
            return None
        if self._server is None and not (job.alone and self._slots > 1):  # a single job is not worth one
            self._server = ForkServerClient(environment, self._folder / "fork-server.log")
        if self._server is None or self._server.gone or self._server.environment != environment:
            return None
        return self._server

    def _threads(self, alone: bool) -> dict[str, str]:
        threads = self._options.threads
        if threads is None and _THREADS in os.environ:
            return {}
        return {_THREADS: str(threads or max(1, cores() // (1 if alone else self._slots)))}

    def _devices(self, slot: int) -> dict[str, str]:
        if len(self._gpus) > 1 or self._options.gpus is not None:
            return {_DEVICES: self._gpus[slot % len(self._gpus)]}
        return {}


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that runs may be given, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_DEVICES)
    return named.split(",")[:count] if named else [str(number) for number in range(count)]
