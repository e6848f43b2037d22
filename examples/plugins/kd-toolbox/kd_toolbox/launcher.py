"""`nice`: one run after another, with a low priority."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from kdcore import JobEnd, Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore import LaunchJob, LaunchSetup

    from kd_toolbox.options import NiceOptions


class NiceLauncher:
    """Runs as child processes of `nice`.

    Raises:
        UserError: this machine does not have the command nice.
    """

    def __init__(self, options: NiceOptions, setup: LaunchSetup) -> None:
        found = shutil.which("nice")
        if found is None:
            raise UserError(
                Problem("--launcher", "it needs the command nice, which this machine does not have")
            )
        self._prefix = [found, "-n", str(options.level)]
        self._most = setup.jobs or 1
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: LaunchJob) -> str | None:
        """Start it, unless another one is running."""
        if len(self._running) >= self._most:
            return None
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  # the command of kd itself
                [*self._prefix, *job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=job.folder,
                env={**os.environ, **job.environment},
                start_new_session=True,  # Ctrl-C reaches kd, which asks the jobs to stop
            )
        self._running[job.name] = process
        return str(process.pid)

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """False: nobody can wait for a process that another one started."""
        return False

    def ended(self) -> Sequence[JobEnd]:
        """The processes that have ended."""
        ends = [
            JobEnd(name, code)
            for name, process in self._running.items()
            if (code := process.poll()) is not None
        ]
        for end in ends:
            del self._running[end.name]
        return ends

    def stop(self, names: Sequence[str]) -> None:
        """Send SIGTERM: a run writes a checkpoint and ends."""
        for name in names:
            if name in self._running:
                self._running[name].terminate()
