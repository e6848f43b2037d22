"""It is made for a plugin interface that does not exist yet; none of its hooks may be called."""

from __future__ import annotations

from kdcore import DistillerEntry, hookimpl

PLUGIN_API = 1000


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """Raises RuntimeError, which nobody may see."""
    raise RuntimeError("a hook of a plugin for another interface was called")
