"""`kd list-recipes`, and how `kd show` describes one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kdcore.cli.output import JsonFlag, bold, print_json, say_all, table, warn_all
from kdcore.plugins import get_plugins
from kdcore.spec.recipes import recipes

if TYPE_CHECKING:
    from kdcore.spec.recipes import PaperSettings, Recipe


def list_recipes(as_json: JsonFlag = False) -> None:
    """List the recipes: how the papers train.

    A spec stands on one with "recipe": NAME.
    """
    problems: list[str] = []
    found = recipes(get_plugins(), problems.append)
    warn_all(problems)
    if as_json:
        print_json([recipe_dict(recipe) for recipe in found])
        return
    count = Counter(recipe.name for recipe in found)
    rows = [
        # of two recipes with one name, a spec has to say whose it means
        [item.qualified if count[item.name] > 1 else item.name, item.use, item.plugin.name, item.summary]
        for item in found
    ]
    say_all(table(["name", "for", "plugin", "summary"], rows))


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON-ready fields."""
    plugin = recipe.plugin
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "use": recipe.use,
        "paper": None if recipe.paper is None else asdict(recipe.paper),
        "sources": [asdict(source) for source in recipe.sources],
        "spec": recipe.spec,
        "distillers": {name: asdict(part) for name, part in recipe.distillers.items()},
        "variant_of": recipe.variant_of,
        "qualified": recipe.qualified,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
    }


def recipe_lines(recipe: Recipe, name: str) -> list[str]:
    """A recipe for people: its values as a spec's, what it has for single distillers, and where all that is from.

    `name` is how a spec names it.
    """
    plugin = recipe.plugin
    title = f"{bold(recipe.name)}: recipe of {plugin.distribution} {plugin.version} for {recipe.use}"
    lines = [title, recipe.summary, ""]
    paper = recipe.paper
    if paper is not None:
        lines += [f"paper    {paper.title} ({paper.year}), {paper.url}"]
    for source in recipe.sources:
        lines += [f"from     {source.title}", f"         {source.url}: {', '.join(source.files)}"]
    if recipe.variant_of is not None:
        lines += [f"variant of {recipe.variant_of}"]
    lines += [
        "",
        bold("its values, which hold where a spec has none"),
        *json_by_sections(recipe.spec).splitlines(),
    ]
    for distiller, part in recipe.distillers.items():
        lines += ["", f"{bold(distiller)}, from {part.source}"]
        lines += [_compact({"distiller": part.options} if part.options else {}, part.spec)]
    return [*lines, "", bold("in a spec"), json.dumps({"recipe": name})]


def settings_lines(settings: PaperSettings) -> list[str]:
    """What papers say about a distiller, for people."""
    lines = []
    if settings.recipes:
        rows = [[name, _set(part.options, part.spec), part.source] for name, part in settings.recipes.items()]
        lines += ["", bold("with a recipe"), *table(["recipe", "also sets", "from"], rows)]
    if settings.pairs:
        rows = [
            [
                f"{', '.join(pair.teachers)} -> {', '.join(pair.students)}",
                pair.recipe or "any",
                _set(pair.options, {}),
                pair.source,
            ]
            for pair in settings.pairs
        ]
        heading = bold("what papers use for known models (only if the spec sets it; kd init writes it)")
        lines += ["", heading, *table(["teacher -> student", "recipe", "options", "from"], rows)]
    return lines


def _set(options: dict[str, Any], spec: dict[str, Any]) -> str:
    inner = {f"{section}.{key}": value for section, values in spec.items() for key, value in values.items()}
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in {**options, **inner}.items())


def json_by_sections(sections: dict[str, Any]) -> str:
    """JSON with a line for each section."""
    inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in sections.items())
    return f"{{\n{inner}\n}}"


def _compact(*parts: dict[str, Any]) -> str:
    return json.dumps({key: value for part in parts for key, value in part.items()})
