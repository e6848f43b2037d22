"""What a run works with: its spec and directory, the plugins, the display, and how it may be stopped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.run.display import Display
    from kdcore.run.signals import StopRequest
    from kdcore.rundir.directory import RunDirectory
    from kdcore.spec.loaded import LoadedSpec


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What one run works with; every stage gets it, and none changes it.

    Attributes:
        loaded: the spec.
        plugins: finds names, and is called during the run.
        display: shows progress.
        stop: whether the user asked the run to stop.
        until: the epoch after which the run pauses; None: the last.
        accept_changes: whether to continue although inputs of the run changed.
    """

    loaded: LoadedSpec
    plugins: Plugins
    display: Display
    stop: StopRequest
    until: int | None = None
    accept_changes: bool = False

    @cached_property
    def directory(self) -> RunDirectory:
        """The run directory; one object, which knows whether this process has locked it."""
        return self.loaded.directory
