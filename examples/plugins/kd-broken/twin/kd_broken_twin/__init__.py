"""Nothing is wrong with this plugin but its name, which one of kd-broken has too."""

from __future__ import annotations

from kdcore import DistillerEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """None."""
    return []
