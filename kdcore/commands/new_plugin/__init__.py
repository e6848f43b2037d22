"""New plugins: a complete package rendered from templates. Needs no torch."""

from __future__ import annotations

from kdcore.commands.new_plugin.names import KINDS, LICENSES, Kind, License
from kdcore.commands.new_plugin.render import NewPlugin, new_plugin

__all__ = ["KINDS", "LICENSES", "Kind", "License", "NewPlugin", "new_plugin"]
