"""Plugins: found through entry points, loaded one by one, and looked up by name. Imports nothing heavy."""

from __future__ import annotations

from functools import cache

from kdcore.plugins.find import find_candidates
from kdcore.plugins.manager import Plugins
from kdcore.plugins.records import Candidate, PluginInfo, Provided
from kdcore.plugins.switches import strict

__all__ = [
    "Candidate",
    "PluginInfo",
    "Plugins",
    "Provided",
    "available_plugins",
    "find_candidates",
    "get_plugins",
]


@cache
def get_plugins() -> Plugins:
    """The installed plugins, discovered once per process.

    Raises:
        UserError: a plugin is broken, and `KD_STRICT_PLUGINS` makes that an error.
    """
    return Plugins.discover()


def available_plugins() -> Plugins:
    """The installed plugins, for what has to work if one of them is broken; not an error in any case."""
    return Plugins.discover(strict=False) if strict() else get_plugins()
