"""What the commands say if the launcher has left runs to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.plugin import say, say_all

if TYPE_CHECKING:
    from collections.abc import Sequence


def say_prepared(commands: Sequence[str]) -> None:
    """The commands alone on stdout, so that they can be piped; what to do with them on stderr."""
    say_all(commands)
    if commands:
        count = "one run is" if len(commands) == 1 else f"{len(commands)} runs are"
        say(f"{count} left to you, a command for each; after them, the same kd command goes on", err=True)
    else:
        say("runs are in progress elsewhere; after them, the same kd command goes on", err=True)
