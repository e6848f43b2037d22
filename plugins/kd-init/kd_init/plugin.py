"""The declarations of this plugin."""

from __future__ import annotations

from kdcore import CommandEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """Declare `kd init`."""
    return [
        CommandEntry(
            name="init",
            summary="Write a spec for a teacher and a student.",
            target="kd_init.command:init",
        )
    ]
