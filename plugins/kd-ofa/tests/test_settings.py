"""What papers say about these distillers: the files are there, and their values fit recipes and options."""

from __future__ import annotations

import pytest

from kdcore import DistillerEntry, RecipeEntry
from kdcore.inspect import distiller_part, find_recipe, paper_settings, resolve_distiller
from kdcore.plugin import get_plugins

PLUGINS = get_plugins()
DISTILLERS = [item for item in PLUGINS.all(DistillerEntry) if item.plugin.name == "kd-ofa"]
RECIPES = [item for item in PLUGINS.all(RecipeEntry) if item.plugin.name == "kd-ofa"]


@pytest.mark.parametrize("provided", DISTILLERS, ids=lambda item: item.entry.name)
def test_settings_fit(provided):
    settings = paper_settings(provided, "distiller")
    assert (provided.entry.settings is None) == (not settings.recipes and not settings.pairs)
    for name, part in settings.recipes.items():
        assert distiller_part(find_recipe(name, "recipe", PLUGINS), provided, "distiller") == part
        resolve_distiller(provided.qualified, part.options, PLUGINS, "distiller")
    for pair in settings.pairs:
        assert pair.recipe is None or find_recipe(pair.recipe, "recipe", PLUGINS)
        resolve_distiller(provided.qualified, pair.options, PLUGINS, "distiller")
    for name in provided.entry.recipes:
        assert find_recipe(name, "recipe", PLUGINS).variant_of


@pytest.mark.parametrize("provided", RECIPES, ids=lambda item: item.entry.name)
def test_recipes_can_be_read(provided):
    recipe = find_recipe(provided.qualified, "recipe", PLUGINS)
    assert recipe.sources
    assert recipe.paper is not None
    for name, part in recipe.distillers.items():
        if name in {item.qualified for item in DISTILLERS}:
            resolve_distiller(name, part.options, PLUGINS, "distiller")
