"""`kd list-recipes`, and how `kd show` describes one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kdcore.cli.output import JsonFlag, bold, print_json, say_all, table
from kdcore.spec.recipes import Recipe, recipes


def list_recipes(as_json: JsonFlag = False) -> None:
    """List the recipes: how the papers train.

    A spec stands on one with "recipe": NAME.
    """
    found = recipes().values()
    if as_json:
        print_json([recipe_dict(recipe) for recipe in found])
        return
    say_all(table(["name", "for", "summary"], [[item.name, item.use, item.summary] for item in found]))


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON-ready fields."""
    return asdict(recipe)


def recipe_lines(recipe: Recipe) -> list[str]:
    """A recipe for people: its values as a spec's, what it has for single distillers, and where all that is from."""
    lines = [f"{bold(recipe.name)}: recipe for {recipe.use}", recipe.summary, ""]
    for source in recipe.sources:
        lines += [f"from     {source.title}", f"         {source.url}: {', '.join(source.files)}"]
    lines += [
        "",
        bold("its values, which hold where a spec has none"),
        *json_by_sections(recipe.spec).splitlines(),
    ]
    for name, part in recipe.distillers.items():
        lines += ["", f"{bold(name)}, from {part.source}"]
        lines += [_compact({"distiller": part.options} if part.options else {}, part.spec)]
    return [*lines, "", bold("in a spec"), json.dumps({"recipe": recipe.name})]


def json_by_sections(sections: dict[str, Any]) -> str:
    """JSON with a line for each section."""
    inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in sections.items())
    return f"{{\n{inner}\n}}"


def _compact(*parts: dict[str, Any]) -> str:
    return json.dumps({key: value for part in parts for key, value in part.items()})
