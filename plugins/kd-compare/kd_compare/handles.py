"""`jobs.json`: the jobs that a launcher started, so that a later call finds those that still run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from kdcore.plugin import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore import LaunchJob

FILE: Final = "jobs.json"
_SHAPE: Final = {"*": {"launcher!": str, "handle!": str, "log_start!": int, "arguments!": [str]}}


@dataclass(frozen=True)
class Handle:
    """A job that was started.

    Attributes:
        launcher: the name of its launcher.
        handle: by which the launcher finds it.
        log_start: the size of its log before it was started.
        arguments: of `kd`.
    """

    launcher: str
    handle: str
    log_start: int
    arguments: tuple[str, ...]


class Handles:
    """The started jobs of a comparison.

    Args:
        folder: the comparison's folder.
        launcher: the name of the launcher of this call.
    """

    def __init__(self, folder: Path, launcher: str) -> None:
        self._path = folder / FILE
        self._launcher = launcher
        self._found = self._read()

    def of(self, name: str) -> Handle | None:
        """The job of this name that this launcher started."""
        found = self._found.get(name)
        return found if found is not None and found.launcher == self._launcher else None

    def put(self, job: LaunchJob, handle: str, log_start: int) -> None:
        """Record that a job was started."""
        self._found[job.name] = Handle(self._launcher, handle, log_start, job.arguments)
        self._write()

    def forget(self, name: str) -> None:
        """Record that a job has ended."""
        if self._found.pop(name, None) is not None:
            self._write()

    def _read(self) -> dict[str, Handle]:
        try:
            records: dict[str, Any] = read_json(self._path, _SHAPE)
        except (OSError, ValueError):
            return {}  # none, or damaged: a job that still runs is noticed by the lock of its directory
        return {
            name: Handle(one["launcher"], one["handle"], one["log_start"], tuple(one["arguments"]))
            for name, one in records.items()
        }

    def _write(self) -> None:
        write_json(self._path, {name: asdict(one) for name, one in self._found.items()})
