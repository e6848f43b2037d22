"""`kd show`: all about one distiller, adapter, dataset, model or recipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdcore.cli import output
from kdcore.cli.lists import as_dict
from kdcore.cli.output import JsonFlag
from kdcore.cli.recipes import recipe_dict, recipe_text
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.plugins import get_plugins
from kdcore.plugins.records import ENTRY_TYPES, normalised
from kdcore.recipes import recipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from kdcore.entries import DistillerEntry
    from kdcore.plugins import Plugins, Provided

_HETEROGENEOUS_TEACHER = "convnext_atto"


def complete_name(incomplete: str) -> list[str]:
    """For shell completion."""
    known = _names(get_plugins()) | recipes().keys()
    return sorted(name for name in known if name.startswith(incomplete))


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A distiller, adapter, dataset or model: its name, or 'plugin/name'; or a recipe.",
            autocompletion=complete_name,
            show_default=False,
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show what a name means: options, formula, paper.

    With a spec to copy.
    """
    plugins = get_plugins()
    recipe = recipes().get(name)
    found = _find(name, plugins) if recipe is None else _find_beside(name, plugins)
    described = [_describe(role, provided, plugins) for role, provided in found]
    texts = [_text(about) for about in described]
    if recipe is not None:
        described.append({"role": "recipe", **recipe_dict(recipe)})
        texts.append(recipe_text(recipe))
    if as_json:
        first, *others = described
        output.print_json({**first, "others": others} if others else first)
    else:
        typer.echo("\n\n".join(texts))


def example(entry: DistillerEntry, options: dict[str, Any], name: str) -> dict[str, Any]:
    """A whole spec with this distiller, to copy."""
    spec: dict[str, Any] = {"data": {"dataset": "digits", "image_size": 32}}
    if entry.kind != "baseline":
        teacher = _HETEROGENEOUS_TEACHER if entry.kind == "heterogeneous" else "resnet34"
        spec["teacher"] = {"model": teacher}
    return spec | {"student": {"model": "resnet10t"}, "distiller": {"name": name, **options}}


def _find(name: str, plugins: Plugins) -> list[tuple[str, Provided[Any]]]:
    lookups: dict[str, Callable[[str, str], Provided[Any]]] = {
        "distiller": plugins.distiller,
        "adapter": plugins.adapter,
        "dataset": plugins.dataset,
        "model": plugins.model,
    }
    found: list[tuple[str, Provided[Any]]] = []
    failures: list[Problem] = []
    for role, lookup in lookups.items():
        try:
            found.append((role, lookup(name, "kd show")))
        except UserError as error:
            failures += error.problems
    if found:
        return found
    raise UserError(_best(failures, name, plugins))


def _find_beside(name: str, plugins: Plugins) -> list[tuple[str, Provided[Any]]]:
    """What else has the name of a recipe."""
    try:
        return _find(name, plugins)
    except UserError:
        return []


def _best(failures: list[Problem], name: str, plugins: Plugins) -> Problem:
    # a failure that knows the name (two plugins have it, or one that is missing) beats four that do not
    knowing = [problem for problem in failures if not problem.message.startswith("there is no")]
    if knowing:
        return knowing[0]
    hints = [problem.hint for problem in failures if problem.nearest is not None and problem.hint]
    if any(normalised(name) in info.candidate.names for info in plugins.infos):
        hints = [f"it is a plugin: kd plugins {name}"]
    near = nearest(
        name, [*(problem.nearest for problem in failures if problem.nearest is not None), *recipes()]
    )
    return Problem(
        "kd show",
        "there is no distiller, adapter, dataset, model or recipe of this name",
        value=name,
        nearest=near,
        allowed=listed(_names(plugins), most=40),
        hint=hints[0] if hints else None,
    )


def _names(plugins: Plugins) -> set[str]:
    return {item.entry.name for item in plugins.everything()}


def _describe(role: str, provided: Provided[Any], plugins: Plugins) -> dict[str, Any]:
    about: dict[str, Any] = {"role": role, **as_dict(provided)}
    entry = provided.entry
    ambiguous = sum(item.entry.name == entry.name for item in _same_role(role, plugins)) > 1
    name = provided.qualified if ambiguous else entry.name
    model = _options_model(role, provided, plugins)
    rows: list[dict[str, Any]] = []
    if "options" in about:
        about["options_model"] = about.pop("options")
    if model is not None:
        from kdcore.cli.options_table import option_rows

        about["options"] = rows = option_rows(model)
    if role == "distiller":
        defaults = {row["name"]: row["default"] for row in rows if not row["required"]}
        about["example"] = example(entry, defaults, name)
    elif role == "adapter":
        about["example"] = {"student": {"model": "resnet18", "adapter": name}}
    elif role == "dataset":
        about["example"] = {"data": {"dataset": name}}
    else:
        about["example"] = {"student": {"model": name}}
    return about


def _options_model(role: str, provided: Provided[Any], plugins: Plugins) -> type[BaseModel] | None:
    if role == "distiller":
        return plugins.load_options(provided, "kd show")
    return None if role == "adapter" else plugins.load_arguments(provided, "kd show")


def _same_role(role: str, plugins: Plugins) -> tuple[Provided[Any], ...]:
    kind = ENTRY_TYPES[role]  # type: ignore[index]  # one of the four roles
    return tuple(item for item in plugins.everything() if isinstance(item.entry, kind))


def _text(about: dict[str, Any]) -> str:
    from kdcore.cli.options_table import as_table

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
        "code": about["target"],
    }
    lines += [f"{key:<12} {value}" for key, value in fields.items() if value is not None]
    if "options" in about:
        lines += ["", output.bold("options"), as_table(about["options"])]
    whole = about["role"] == "distiller"
    heading = "a spec to copy" if whole else "in a spec"
    lines += ["", output.bold(heading), json.dumps(about["example"], indent=2)]
    if "teacher" in about["example"]:
        lines += [
            "(this teacher's weights are random: give it 'pretrained', 'checkpoint', or 'run', a spec that trains it)"
        ]
    return "\n".join(lines)


def _task_weight(about: dict[str, Any]) -> str | None:
    if about["role"] != "distiller":
        return None
    return f"{about['task_weight']:g} (factor of the task loss beside it, unless 'task.weight' says another)"
