"""`kd list-distillers`, `kd list-adapters`, `kd list-datasets`: what is installed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kdcore.cli.output import JsonFlag, print_json, say_all, table
from kdcore.plugins import get_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kdcore.plugins import Provided


def list_distillers(as_json: JsonFlag = False) -> None:
    """List the distillers that a spec can name."""
    _show(get_plugins().distillers(), {"kind": lambda entry: entry.kind}, as_json)


def list_adapters(as_json: JsonFlag = False) -> None:
    """List the feature adapters and the models they serve."""
    _show(get_plugins().adapters(), {"models": lambda entry: _classes(entry.models)}, as_json)


def list_datasets(as_json: JsonFlag = False) -> None:
    """List the registered datasets.

    Folders, tars and the names of timm's dataset factory work too.
    """
    classes = {"classes": lambda entry: str(entry.num_classes or "")}
    _show(get_plugins().datasets(), classes, as_json)


def as_dict(provided: Provided[Any]) -> dict[str, Any]:
    """A declared thing as JSON-ready fields."""
    plugin = provided.plugin
    return {
        **asdict(provided.entry),
        "qualified": provided.qualified,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
    }


def _show(found: Sequence[Provided[Any]], columns: dict[str, Callable[[Any], str]], as_json: bool) -> None:
    count = Counter(item.entry.name for item in found)
    if as_json:
        print_json([{**as_dict(item), "ambiguous": count[item.entry.name] > 1} for item in found])
        return
    rows = [
        [
            # of two things with one name, a spec has to say whose it means
            item.qualified if count[item.entry.name] > 1 else item.entry.name,
            *(value(item.entry) for value in columns.values()),
            item.plugin.name,
            item.entry.summary,
        ]
        for item in found
    ]
    say_all(table(["name", *columns, "plugin", "summary"], rows))


def _classes(models: Sequence[str]) -> str:
    names = [model.rpartition(":")[2] for model in models]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "(any other)"
