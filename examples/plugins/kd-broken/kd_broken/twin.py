"""Nothing is wrong with it but its name, which the plugin of kd-broken-twin has too."""

from __future__ import annotations

from kdcore import DistillerEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """None."""
    return []
