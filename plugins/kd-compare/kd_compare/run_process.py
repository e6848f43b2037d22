"""A run as a process of its own, started by this one. Its standard input is a pipe; it stops when that is closed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from kdcore import JobEnd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore import LaunchJob

WORKER: Final = (sys.executable, "-m", "kd_compare.worker")


class RunProcess:
    """A new Python, which imports everything itself.

    Args:
        job: the run.
        environment: all variables of the process.
    """

    def __init__(self, job: LaunchJob, environment: Mapping[str, str]) -> None:
        self._name = job.name
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603  # this Python, and arguments of our own
                [*WORKER, *job.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=job.folder,
                env=environment,
                start_new_session=True,  # a terminal's Ctrl-C is for us, who hand it on once
            )

    @property
    def handle(self) -> str:
        """The number of the process."""
        return str(self._popen.pid)

    def ended(self) -> JobEnd | None:
        """Its end; None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        self.ask()
        return JobEnd(self._name, code)

    def wait(self) -> None:
        """Return when it has ended."""
        self._popen.wait()

    def ask(self) -> None:
        """Close its standard input: its worker stops the run then."""
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
