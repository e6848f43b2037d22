"""The lists of what plugins declare: `kd list-distillers`, `kd list-exporters`, ..."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kdcore.cli.output import JsonFlag, print_json, say_all, table, terminal_width
from kdcore.commands.distillers import chosen
from kdcore.entries import (
    KINDS,
    TASKS,
    AdapterEntry,
    CommandEntry,
    DatasetEntry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    SectionEntry,
    TransformEntry,
)
from kdcore.plugins import get_plugins
from kdcore.text import columns as aligned
from kdcore.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kdcore.plugins import Provided

_SUMMARY: Final = 40  # the width that the summaries keep on a terminal
_TITLE: Final = 20  # the least width of a title


def list_distillers(
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help=f"Only this kind: {', '.join(KINDS)}.")
    ] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option("--needs", metavar="NEED", help="Only those that need this; repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NEED", help="Only those that do not need this; repeatable."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help=f"Only those for this task: {', '.join(TASKS)}."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the distillers that a spec can name.

    A need is what you have to have: labels, teacher, logits and so on. 'kd show NAME' explains those of a distiller.
    A wide terminal, or a file, also gets the titles of the papers.
    """
    found = chosen(kind, needs or (), without or (), task)
    columns: dict[str, Callable[[Any], str]] = {
        "kind": lambda entry: entry.kind,
        "year": lambda entry: "" if entry.paper is None else str(entry.paper.year),
        "needs": lambda entry: "(not stated)" if entry.needs is None else ", ".join(entry.needs),
    }
    titles = ["" if item.entry.paper is None else item.entry.paper.title for item in found]
    _show(found, columns, as_json, titles)


def list_adapters(as_json: JsonFlag = False) -> None:
    """List the feature adapters and the models they serve."""
    _show(get_plugins().all(AdapterEntry), {"models": lambda entry: _classes(entry.models)}, as_json)


def list_datasets(as_json: JsonFlag = False) -> None:
    """List the registered datasets.

    Folders, tars and the names of timm's dataset factory work too.
    """
    classes = {"classes": lambda entry: str(entry.num_classes or "")}
    _show(get_plugins().all(DatasetEntry), classes, as_json)


def list_transforms(as_json: JsonFlag = False) -> None:
    """List what can change a student before it is trained."""
    _show(get_plugins().all(TransformEntry), {}, as_json)


def list_commands(as_json: JsonFlag = False) -> None:
    """List the commands and the plugins that have them."""
    _show(get_plugins().all(CommandEntry), {}, as_json)


def list_exporters(as_json: JsonFlag = False) -> None:
    """List the formats that a student can be exported to."""
    _show(get_plugins().all(ExporterEntry), {"needs": lambda entry: ", ".join(entry.requires)}, as_json)


def list_metrics(as_json: JsonFlag = False) -> None:
    """List the metrics that evaluations compute in addition to accuracy."""
    _show(get_plugins().all(MetricEntry), {"tasks": lambda entry: ", ".join(entry.tasks)}, as_json)


def list_report_sections(as_json: JsonFlag = False) -> None:
    """List the sections of reports."""
    _show(get_plugins().all(SectionEntry), {"order": lambda entry: str(entry.order)}, as_json)


def list_launchers(as_json: JsonFlag = False) -> None:
    """List the ways to start runs."""
    _show(get_plugins().all(LauncherEntry), {}, as_json)


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


def _show(
    found: Sequence[Provided[Any]],
    columns: dict[str, Callable[[Any], str]],
    as_json: bool,
    titles: Sequence[str] = (),
) -> None:
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
    head = ["name", *columns, "plugin", "summary"]
    say_all(table(*_with_papers(head, rows, titles)))


def _with_papers(
    head: list[str], rows: list[list[str]], titles: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """The table with the titles in front of its last column: clipped to a terminal, left out if it is too narrow."""
    longest = max(map(len, titles), default=0)
    width = terminal_width()
    if width is not None:
        starts = aligned([[printable(cell) for cell in (*row[:-1], "")] for row in (head, *rows)])
        room = width - len(starts[0]) - _SUMMARY - 2  # two spaces follow a column
        longest = min(longest, room) if room >= _TITLE else 0
    if longest == 0:
        return head, rows
    short = [textwrap.shorten(title, longest, placeholder=" ...") for title in titles]
    with_titles = [[*row[:-1], title, row[-1]] for row, title in zip(rows, short, strict=True)]
    return [*head[:-1], "paper", head[-1]], with_titles


def _classes(models: Sequence[str]) -> str:
    names = [model.rpartition(":")[2] for model in models]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "(any other)"
