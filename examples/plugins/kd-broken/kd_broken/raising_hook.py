"""One of its hooks raises. What the other one declares is lost with it, and known by name."""

from __future__ import annotations

from kdcore import DatasetEntry, DistillerEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """A distiller that would be right."""
    return [
        DistillerEntry(
            name="broken-lost",
            kind="logit",
            summary="Is lost, since another hook of its plugin raises.",
            target="kd_broken.code:Method",
            options="kd_broken.code:Options",
        )
    ]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    """Raises LookupError."""
    raise LookupError("the list of datasets is empty")
