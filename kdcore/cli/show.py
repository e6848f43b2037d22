"""`kd show`: all about one thing that a plugin declares."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore.cli import output
from kdcore.cli.lists import as_dict
from kdcore.cli.output import JsonFlag
from kdcore.cli.recipes import recipe_dict, recipe_lines, settings_lines
from kdcore.commands.show.find import names
from kdcore.entries import NEEDS
from kdcore.plugins import Provided, get_plugins
from kdcore.spec.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.commands.show.show import Description


def complete_name(incomplete: str) -> list[str]:
    """For shell completion."""
    return sorted(name for name in names(get_plugins()) if name.startswith(incomplete))


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The name, or 'plugin/name', of a distiller, adapter, dataset, model, recipe or anything else.",
            autocompletion=complete_name,
            show_default=False,
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show what a name means: options, formula, paper.

    With a spec to copy.
    """
    from kdcore.commands.show.show import show as describe

    found = describe(name)
    if as_json:
        first, *others = [_as_dict(item) for item in found]
        output.print_json({**first, "others": others} if others else first)
    else:
        for number, item in enumerate(found):
            output.say_all(["", *_lines(item)] if number else _lines(item))


def _as_dict(found: Description) -> dict[str, Any]:
    if isinstance(found.entry, Recipe):
        return {"role": found.role, **recipe_dict(found.entry)}
    about: dict[str, Any] = {"role": found.role, **as_dict(Provided(found.entry, found.plugin))}
    if "options" in about:
        about["options_model"] = about.pop("options")
    if found.options is not None:
        about["options"] = [asdict(option) for option in found.options]
    if found.settings is not None:
        about["settings"] = asdict(found.settings)
    return {**about, "example": found.example}


def _lines(found: Description) -> list[str]:
    from kdcore.cli.options_table import as_table

    if isinstance(found.entry, Recipe):
        return recipe_lines(found.entry, found.name)
    about = _as_dict(found)
    kind = f"{about['kind']} " if "kind" in about else ""
    title = output.bold(about["name"])
    lines = [
        f"{title}: {kind}{about['role']} of {about['distribution']} {about['version']}",
        about["summary"],
        "",
    ]
    paper = about.get("paper")
    fields = {
        "formula": about.get("formula"),
        "paper": f"{paper['title']} ({paper['year']}), {paper['url']}" if paper else None,
        "task weight": _task_weight(about),
        "models": ", ".join(about["models"]) or "(any other)" if "models" in about else None,
        "classes": about.get("num_classes"),
        "needs": ", ".join(about["requires"]) if about.get("requires") else None,
        "tasks": ", ".join(about["tasks"]) if about.get("tasks") else None,
        "order": about.get("order"),
        "code": about.get("target") or about.get("path"),
    }
    lines += [f"{key:<12} {value}" for key, value in fields.items() if value is not None]
    if about.get("needs") is not None:
        lines += _needs(about["needs"])
    if found.options is not None:
        lines += ["", output.bold("options"), *as_table(found.options)]
    if found.settings is not None:
        lines += settings_lines(found.settings)
    heading = "a spec to copy" if found.role == "distiller" else "in a spec"
    example = found.example
    if isinstance(example, str):
        heading = "how to use it"
    else:
        example = json.dumps(example, indent=2)
    lines += ["", output.bold(heading), *example.splitlines()]
    if "teacher" in found.example:
        lines += [
            "(this teacher's weights are random: give it 'pretrained', 'checkpoint', or 'run', a spec that trains it)"
        ]
    return lines


def _needs(needs: Sequence[str]) -> list[str]:
    """A line for each, aligned with the other fields."""
    width = max((len(need) for need in needs), default=0)
    said = [f"{need:<{width}}  {NEEDS[need]}" for need in needs] or ["only images"]
    return [f"{'' if number else 'needs':<12} {line}" for number, line in enumerate(said)]


def _task_weight(about: dict[str, Any]) -> str | None:
    if about["role"] != "distiller":
        return None
    return f"{about['task_weight']:g} (weight of the task loss, unless 'task.weight' is set)"
