"""The launcher `commands`: starts nothing, and gives the user a command for each run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from kdcore import JobEnd, RunDirectory
from kdcore.plugin import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore import LaunchJob, LaunchSetup

FILE: Final = "commands.txt"


class CommandsLauncher:
    """Commands for a queue that kd does not know. All that are given in one call may run at the same time."""

    def __init__(self, options: None, setup: LaunchSetup) -> None:
        self._file = setup.folder / FILE
        self._commands: list[str] = []
        self._ends: list[JobEnd] = []

    def start(self, job: LaunchJob) -> str:
        """Its command, which is in the file too."""
        text = command(job)
        self._commands.append(text)
        job.log.parent.mkdir(parents=True, exist_ok=True)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, "".join(f"{one}\n" for one in self._commands))
        self._ends.append(JobEnd(job.name, 0, later=text))
        return "a command for you to run"

    def attach(self, job: LaunchJob, handle: str) -> bool:
        """Whether it is in progress, or has failed since its command was given."""
        directory = RunDirectory(job.directory)
        if directory.in_use:
            self._ends.append(JobEnd(job.name, 0, later=""))
            return True
        failed = (directory.summary() or {}).get("status") == "failed"
        if failed:
            self._ends.append(JobEnd(job.name, 1))
        return failed

    def ended(self) -> list[JobEnd]:
        """All: this call waits for none of them."""
        ends, self._ends = self._ends, []
        return ends

    def stop(self, names: Sequence[str]) -> None:
        """None of them runs here."""


def command(job: LaunchJob) -> str:
    """A line for a shell that starts a run in its folder, with its variables and its log."""
    variables = [f"{name}={value}" for name, value in job.environment.items()]
    called = shlex.join([*(["env", *variables] if variables else []), *job.command])
    return f"cd {shlex.quote(str(job.folder))} && {called} >>{shlex.quote(str(job.log))} 2>&1"
