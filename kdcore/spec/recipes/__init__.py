"""Recipes: how papers train, as values that a spec can start from. TOML files in packages; needs no torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdcore.entries import DistillerEntry, RecipeEntry
from kdcore.errors import UserError
from kdcore.spec.recipes.parts import DistillerPart, RecipeSource, read_part, read_sections
from kdcore.spec.recipes.settings import KnownPair, PaperSettings, paper_settings
from kdcore.spec.recipes.toml_file import TomlFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kdcore.entries import Paper
    from kdcore.plugins import PluginInfo, Plugins, Provided

__all__ = [
    "DistillerPart",
    "KnownPair",
    "PaperSettings",
    "Recipe",
    "RecipeSource",
    "distiller_part",
    "find_recipe",
    "layered",
    "paper_settings",
    "read_recipe",
    "recipes",
    "with_settings",
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Values that stand below those of a spec.

    Attributes:
        name: as a spec calls it.
        summary: one sentence.
        use: which images and students it is for.
        sources: where its values are from.
        spec: sections of a spec.
        distillers: by `plugin/name`, what holds for that distiller alone.
        plugin: the plugin that has it.
        paper: its publication.
        variant_of: the general recipe for the same images and students, which the teacher's own training uses.
    """

    name: str
    summary: str
    use: str
    sources: tuple[RecipeSource, ...]
    spec: dict[str, Any]
    distillers: dict[str, DistillerPart]
    plugin: PluginInfo
    paper: Paper | None = None
    variant_of: str | None = None

    @property
    def qualified(self) -> str:
        """The name with the plugin's name, which is unique."""
        return f"{self.plugin.name}/{self.name}"


def distiller_part(recipe: Recipe, provided: Provided[DistillerEntry], where: str) -> DistillerPart | None:
    """What holds for a distiller alone: from the recipe's file, otherwise from the distiller's settings.

    Raises:
        UserError: the settings are wrong; reported at `where`.
    """
    if provided.qualified in recipe.distillers:
        return recipe.distillers[provided.qualified]
    return _part_in(paper_settings(provided, where), recipe)


def recipes(plugins: Plugins, warn: Callable[[str], None]) -> tuple[Recipe, ...]:
    """All recipes, sorted by name, with what installed distillers have for them.

    A file that is missing or wrong does not stop the others: `warn` gets a line about it.
    """
    found = []
    for item in plugins.all(RecipeEntry):
        try:
            found.append(read_recipe(item, "recipe"))
        except UserError as error:
            warn(error.problems[0].message)
    return with_settings(found, plugins, warn)


def find_recipe(name: str, where: str, plugins: Plugins) -> Recipe:
    """The recipe of this name, `name` or `plugin/name`, with the parts for single distillers of its own file.

    Raises:
        UserError: there is no such recipe, two plugins have it, or its file is wrong; reported at `where`.
    """
    return read_recipe(plugins.find(RecipeEntry, name, where), where)


def read_recipe(provided: Provided[RecipeEntry], where: str) -> Recipe:
    """A declared recipe, from its file.

    Raises:
        UserError: the file is missing or wrong; reported at `where`.
    """
    entry = provided.entry
    table = TomlFile(entry.path, f"recipe '{entry.name}'", provided.plugin, where).read()
    table.allow("use", "variant_of", "sources", "spec", "distillers")
    sources = table.tables("sources")
    for source in sources:
        source.allow("title", "url", "files")
    own = provided.plugin.name
    return Recipe(
        name=entry.name,
        summary=entry.summary,
        use=table.text("use"),
        sources=tuple(
            RecipeSource(item.text("title"), item.text("url"), item.texts("files")) for item in sources
        ),
        spec=read_sections(table),
        distillers={
            name if "/" in name else f"{own}/{name}": read_part(part)
            for name, part in table.children("distillers").items()
        },
        plugin=provided.plugin,
        paper=entry.paper,
        variant_of=table.optional_text("variant_of"),
    )


def with_settings(
    found: Iterable[Recipe], plugins: Plugins, warn: Callable[[str], None]
) -> tuple[Recipe, ...]:
    """The recipes with what the settings of installed distillers have for them.

    A file that is missing or wrong is left out: `warn` gets a line about it.
    """
    settings: dict[str, PaperSettings] = {}
    for provided in plugins.all(DistillerEntry):
        try:
            settings[provided.qualified] = paper_settings(provided, "distiller")
        except UserError as error:
            warn(error.problems[0].message)
    filled = []
    for recipe in found:
        parts = dict(recipe.distillers)
        for name, about in settings.items():
            part = _part_in(about, recipe)
            if part is not None:
                parts.setdefault(name, part)
        filled.append(replace(recipe, distillers=dict(sorted(parts.items()))))
    return tuple(filled)


def layered(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of both, in which what is above wins, key by key in objects."""
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = layered(under, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]  # `both`
    return merged


def _part_in(settings: PaperSettings, recipe: Recipe) -> DistillerPart | None:
    return settings.recipes.get(recipe.qualified) or settings.recipes.get(recipe.name)
