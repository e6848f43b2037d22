"""What papers say about these distillers: the files are there, and their values fit recipes and options."""

from __future__ import annotations

import pytest

from kdcore import DistillerEntry, RecipeEntry
from kdcore.inspect import distiller_part, find_recipe, paper_settings, resolve_distiller
from kdcore.plugin import get_plugins

PLUGINS = get_plugins()
DISTILLERS = [item for item in PLUGINS.all(DistillerEntry) if item.plugin.name == "kd-classic"]
RECIPES = [item for item in PLUGINS.all(RecipeEntry) if item.plugin.name == "kd-classic"]


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


def test_beta_is_that_of_the_authors_for_their_pairs():
    (dkd,) = [item for item in DISTILLERS if item.entry.name == "dkd"]
    betas = {
        (teacher, student): pair.options["beta"]
        for pair in paper_settings(dkd, "distiller").pairs
        for teacher in pair.teachers
        for student in pair.students
    }
    assert betas[("cifar_resnet56", "cifar_resnet20")] == 2.0
    assert betas[("cifar_vgg13", "cifar_vgg8")] == betas[("cifar_wrn_40_2", "cifar_wrn_40_1")] == 6.0
