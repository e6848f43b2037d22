"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kd_feature.adapters.declared import ADAPTERS
from kd_feature.entries import classifiers, contrastive, embeddings, generation, initial, maps, relations
from kdcore import AdapterEntry, DistillerEntry, hookimpl

PLUGIN_API = 1

_FAMILIES = (maps, generation, classifiers, initial, relations, contrastive, embeddings)


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    """The methods that read features and embeddings; those of RepDistiller need no separate training stage."""
    return [entry for family in _FAMILIES for entry in family.ENTRIES]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """The feature adapters per architecture."""
    return list(ADAPTERS)
