"""One letter of a hook's name is missing."""

from __future__ import annotations

from kdcore import DistillerEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distiller() -> list[DistillerEntry]:
    """Never called."""
    return []
