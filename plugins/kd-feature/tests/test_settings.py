"""What papers say about these distillers: the files are there, and their values fit recipes and options."""

from __future__ import annotations

import pytest

from kdcore import DistillerEntry
from kdcore.inspect import distiller_part, find_recipe, paper_settings, resolve_distiller
from kdcore.plugin import get_plugins

PLUGINS = get_plugins()
DISTILLERS = [item for item in PLUGINS.all(DistillerEntry) if item.plugin.name == "kd-feature"]


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


@pytest.mark.parametrize(
    ("name", "stages"), [("fitnet", [3]), ("at", [2, 3, 4]), ("nst", [2, 3, 4]), ("vid", [2, 3, 4])]
)
def test_stages_of_the_networks_of_repdistiller(name, stages):
    (provided,) = [item for item in DISTILLERS if item.entry.name == name]
    (pair,) = paper_settings(provided, "distiller").pairs
    assert pair.options == {"stages": stages}
    assert pair.matches("cifar_resnet32x4", "cifar_shufflenetv1")
    assert not pair.matches("cifar_vgg13", "cifar_vgg8")  # the defaults are right there
    assert not pair.matches("resnet50", "resnet18")
