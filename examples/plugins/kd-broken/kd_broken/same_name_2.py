"""Its distiller has the name of another plugin's."""

from __future__ import annotations

from kdcore import DistillerEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """A distiller of a name that is taken."""
    return [
        DistillerEntry(
            name="broken-twice",
            kind="logit",
            summary="Number 2 of two distillers of this name.",
            target="kd_broken.code:Method",
            options="kd_broken.code:Options",
        )
    ]
