"""What surrounds one run: its spec and directory, the plugins, the display, and how it may be stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.run.display import Display
    from kdcore.run.signals import StopRequest
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.loaded import LoadedSpec


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """One run's surroundings; every stage gets them, and none changes them.

    Attributes:
        loaded: the spec.
        plugins: where names are looked up, and what is called in the course of the run.
        display: shows how it goes.
        stop: whether somebody asked to stop.
        until: the epoch to pause after; None: the last.
        accept_changes: whether to go on although something under the run changed.
    """

    loaded: LoadedSpec
    plugins: Plugins
    display: Display
    stop: StopRequest
    until: int | None = None
    accept_changes: bool = False

    @property
    def directory(self) -> RunDirectory:
        """The run directory."""
        return self.loaded.directory
