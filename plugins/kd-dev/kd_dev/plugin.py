"""The declarations of this plugin."""

from __future__ import annotations

from kdcore import CommandEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """Declare `kd new-plugin`."""
    return [
        CommandEntry(
            name="new-plugin",
            summary="Make a new plugin: code, tests, README, licence, CI.",
            target="kd_dev.command:new_plugin",
        )
    ]
