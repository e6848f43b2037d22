"""New plugins: a complete package rendered from templates. Needs no torch."""

from __future__ import annotations

from kdcore.scaffold.names import KINDS, LICENSES, Kind, License
from kdcore.scaffold.render import NewPlugin, new_plugin

__all__ = ["KINDS", "LICENSES", "Kind", "License", "NewPlugin", "new_plugin"]
