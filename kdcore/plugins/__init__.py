"""Plugins: found through entry points, loaded one by one, and looked up by name. Imports nothing heavy."""

from __future__ import annotations

from functools import cache

from kdcore.plugins.find import find_candidates
from kdcore.plugins.manager import Plugins
from kdcore.plugins.records import Candidate, PluginInfo, Provided

__all__ = ["Candidate", "PluginInfo", "Plugins", "Provided", "find_candidates", "get_plugins"]


@cache
def get_plugins() -> Plugins:
    """The installed plugins, discovered once per process."""
    return Plugins.discover()
