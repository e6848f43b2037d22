"""The data files: whole, with their sources, and right for the spec and the distillers that they name."""

from __future__ import annotations

import pytest

from kdcore import DistillerEntry, RecipeEntry, UserError
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_spec
from kdcore.spec.models import RunSpec
from kdcore.spec.recipes import find_recipe, layered, paper_settings, read_recipe, recipes
from kdcore.spec.recipes.parts import SECTIONS
from kdcore.spec.resolve import resolve_distiller

RECIPES = {recipe.name: recipe for recipe in recipes(get_plugins(), pytest.fail)}
NAMES = list(RECIPES)
PARTS = [(name, distiller) for name in NAMES for distiller in RECIPES[name].distillers]
CORE = {item.name for item in RECIPES.values() if item.plugin.name == "kdcore"}


def test_there_are_some_in_order():
    assert sorted(NAMES) == NAMES
    assert {"cifar-240", "imagenet-100"} <= CORE


@pytest.mark.parametrize("name", NAMES)
def test_its_values_are_those_of_a_spec(name):
    recipe = RECIPES[name]
    RunSpec.model_validate(layered({"student": {"model": "resnet18"}, "distiller": "kd"}, recipe.spec))
    assert {"data", "train", "optimizer", "scheduler"} <= recipe.spec.keys()


def test_sections_are_those_of_a_spec_without_models_distiller_and_folders():
    assert set(SECTIONS) < RunSpec.model_fields.keys()
    assert not {"name", "seed", "output", "teacher", "distiller"} & set(SECTIONS)


def test_what_the_core_has_is_for_no_single_method():
    for recipe in CORE:
        assert read_recipe(get_plugins().find(RecipeEntry, recipe, ""), "").distillers == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_differs_in_what_it_is_a_variant_of(name):
    general = RECIPES[name].variant_of
    if general is not None:
        assert (RECIPES[general].use, RECIPES[general].variant_of) == (RECIPES[name].use, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_that_stands_on_it_loads(name, tmp_path):
    spec = tmp_path / "a.toml"
    spec.write_text(
        f'recipe = "{name}"\ndistiller = "kd"\nstudent.model = "resnet18"\nteacher.model = "resnet34"'
    )
    loaded = load_spec(spec).spec
    assert loaded.train.epochs == RECIPES[name].spec["train"]["epochs"]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_where_it_is_from(name):
    recipe = RECIPES[name]
    assert recipe.summary
    assert recipe.use
    assert all(
        source.title and source.files and source.url.startswith("https://") for source in recipe.sources
    )
    assert recipe.sources
    assert all(part.source for part in recipe.distillers.values())


@pytest.mark.parametrize(("name", "distiller"), PARTS)
def test_its_options_are_those_of_the_distiller(name, distiller):
    part = RECIPES[name].distillers[distiller]
    found = resolve_distiller(distiller, part.options, get_plugins(), "distiller")
    assert found.provided.qualified == distiller
    values = layered(RECIPES[name].spec, part.spec)
    RunSpec.model_validate(layered({"student": {"model": "resnet18"}, "distiller": distiller}, values))


def test_the_values_of_the_papers():
    tables = RECIPES["cifar-240"]
    assert (tables.spec["train"], tables.spec["optimizer"]["lr"]) == ({"epochs": 240, "batch_size": 64}, 0.05)
    assert tables.distillers["kd-classic/nkd"].options == {"gamma": 3.5, "temperature": 3.0}
    assert tables.distillers["kd-classic/dist"].options["temperature"] == 4.0
    assert RECIPES["cifar-240-mobile"].spec["optimizer"]["lr"] == 0.01
    assert RECIPES["imagenet-100"].spec["train"]["batch_size"] == 512
    parts = RECIPES["imagenet-100"].distillers
    assert parts["kd-feature/crd"].spec == {"train": {"batch_size": 256}, "optimizer": {"lr": 0.1}}
    assert parts["kd-classic/dkd"].spec == {}


def test_the_mobile_recipe_differs_in_its_learning_rate_and_where_authors_tune_for_these_students():
    tables, mobile = RECIPES["cifar-240"], RECIPES["cifar-240-mobile"]
    assert layered(mobile.spec, {"optimizer": {"lr": 0.05}}) == tables.spec
    tuned = {"kd-classic/wkd": {"gamma": 200.0, "temperature": 6.0, "decay_from_epoch": 150}}
    differing = {
        name: part for name, part in mobile.distillers.items() if part != tables.distillers.get(name)
    }
    assert {name: part.options for name, part in differing.items()} == tuned
    assert mobile.distillers.keys() == tables.distillers.keys()


def test_an_unknown_name():
    with pytest.raises(UserError) as raised:
        find_recipe("cifar240", "recipe", get_plugins())
    (problem,) = raised.value.problems
    assert (problem.where, problem.nearest) == ("recipe", "cifar-240")
    assert "imagenet-100" in problem.allowed


def test_layers():
    below = {"a": {"x": 1, "y": {"z": 2}}, "b": [1], "c": 3}
    assert layered(below, {"a": {"x": None, "y": {"w": 4}}, "b": [2, 3], "c": {"d": 5}}) == {
        "a": {"x": None, "y": {"z": 2, "w": 4}},
        "b": [2, 3],
        "c": {"d": 5},
    }
    assert below == {"a": {"x": 1, "y": {"z": 2}}, "b": [1], "c": 3}


@pytest.mark.parametrize("provided", get_plugins().all(DistillerEntry), ids=lambda item: item.qualified)
def test_what_papers_say_fits_the_recipes_and_the_distiller(provided):
    settings = paper_settings(provided, "distiller")
    named = {*settings.recipes, *provided.entry.recipes, *(pair.recipe for pair in settings.pairs)} - {None}
    assert named <= set(NAMES)
    for pair in settings.pairs:
        resolve_distiller(provided.qualified, pair.options, get_plugins(), "distiller")
