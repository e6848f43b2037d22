"""`kd plugins`: which plugins there are, and what is wrong with those that are broken."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore.cli import output
from kdcore.cli.output import JsonFlag
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins import available_plugins
from kdcore.plugins.known import is_known_package
from kdcore.plugins.pip_hint import pip_install
from kdcore.plugins.records import normalised
from kdcore.plugins.roles import ROLES
from kdcore.plugins.switches import strict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.plugins import PluginInfo


def complete_plugin(incomplete: str) -> list[str]:
    """For shell completion."""
    return [info.name for info in available_plugins().infos if info.name.startswith(incomplete)]


def plugins(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One plugin, by its name or its distribution's: where it is, its hooks, its traceback.",
            autocompletion=complete_plugin,
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the plugins, what each adds, and what is broken."""
    found = available_plugins()
    output.warn_all(found.notes)
    shown = found.infos if name is None else _named(name, found.infos)
    if as_json:
        output.print_json([as_dict(info) for info in shown])
    elif name is None:
        output.say_all(plugin_table(shown))
    else:
        for number, info in enumerate(shown):
            output.say_all(["", *_details(info)] if number else _details(info))
    if strict() and any(info.status == "broken" for info in shown):
        raise typer.Exit(2)


def plugin_table(infos: Sequence[PluginInfo], indent: str = "") -> list[str]:
    """One row per plugin."""
    rows = [
        [info.name, info.distribution, info.version, info.status, info.error or adds(info)] for info in infos
    ]
    return output.table(["name", "distribution", "version", "status", "adds, or error"], rows, indent=indent)


def adds(info: PluginInfo) -> str:
    """What a plugin declares, counted."""
    counts = [(role, len(info.declared(kind))) for kind, role in ROLES.items()]
    parts = [f"{count} {role.name if count == 1 else role.plural}" for role, count in counts if count]
    return ", ".join(parts) or ("hooks only" if info.hooks else "")


def as_dict(info: PluginInfo) -> dict[str, Any]:
    """A plugin as JSON-ready fields."""
    fields = asdict(info)
    del fields["entries"]
    return fields | {role.key: [entry.name for entry in info.declared(kind)] for kind, role in ROLES.items()}


def _named(name: str, infos: Sequence[PluginInfo]) -> list[PluginInfo]:
    found = [info for info in infos if normalised(name) in info.candidate.names]
    if found:
        return found
    names = [info.name for info in infos]
    raise UserError(
        Problem(
            "kd plugins",
            "no plugin of this name is installed",
            value=name,
            nearest=nearest(name, names),
            allowed=listed(names),
            hint=pip_install(normalised(name)) if is_known_package(name) else None,
        )
    )


def _details(info: PluginInfo) -> list[str]:
    from kdcore.plugins.direct_url import editable_folder  # no list needs it

    folder = editable_folder(info.distribution)
    fields = {
        "plugin": info.name,
        "package": f"{info.distribution} {info.version}",
        "entry point": info.value,
        "location": info.location,
        "installed": f"editable, from {folder}" if folder is not None else "",
        "status": info.status,
        "hooks": ", ".join(info.hooks),
        **{
            role.plural: ", ".join(entry.name for entry in info.declared(kind))
            for kind, role in ROLES.items()
        },
        "imports": f"{', '.join(info.heavy)} (slows every command)" if info.heavy else "",
        "error": info.error or "",
        "to fix it": info.fix or "",
    }
    lines = [f"{key:<12} {value}" for key, value in fields.items() if value]
    if info.traceback:
        lines += ["", *info.traceback.rstrip().split("\n")]
    return lines
