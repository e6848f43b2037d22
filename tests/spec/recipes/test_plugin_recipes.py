"""Recipes and settings of plugins: found, layered; a mistake in a file names plugin, version, file and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdcore import DistillerEntry, RecipeEntry, UserError
from kdcore.spec.load import load_dict, spec_schema
from kdcore.spec.recipes import find_recipe, paper_settings, recipes

from .conftest import FAST, PLUGIN, TOY


def load(plugins, **changes):
    spec = {"student": {"model": "resnet18"}, "teacher": {"model": "resnet34"}, "distiller": "toy"}
    return load_dict(spec | changes, base=Path.cwd(), plugins=plugins)


def problem_of(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    (problem,) = caught.value.problems
    return problem


def test_a_spec_names_a_plugins_recipe(toys):
    plugins = toys()
    for name in ("fast", "kd-toys/fast"):
        loaded = load(plugins, recipe=name)
        assert loaded.spec.recipe.applied == name
        assert (loaded.spec.train.epochs, loaded.spec.train.batch_size) == (3, 9)
        assert loaded.distillers[0].options.alpha == 5.0
    assert (
        load(plugins, recipe="fast", distiller={"name": "toy", "alpha": 2}).distillers[0].options.alpha == 2
    )
    assert load(plugins, recipe="fast", distiller="vanilla", teacher=None).spec.train.batch_size == 7


def test_settings_for_a_recipe_of_another_plugin(toys):
    assert load(toys(), recipe="cifar-240").distillers[0].options.alpha == 6.0


def test_a_recipe_s_own_file_wins_over_settings(toys):
    own = FAST + '[distillers.toy]\nsource = "toys d.yaml"\noptions = {beta = 4.0}\n'
    options = load(toys(fast=own), recipe="fast").distillers[0].options
    assert (options.alpha, options.beta) == (1.0, 4.0)


def test_no_file_is_read_before_it_is_used(toys):
    plugins = toys(fast=None, toy=None)
    assert [item.qualified for item in plugins.all(RecipeEntry) if item.plugin.name == "kd-toys"] == [
        "kd-toys/fast"
    ]
    assert load(plugins, recipe=None).distillers[0].options.alpha == 1.0
    assert load(plugins, recipe="cifar-240", distiller="vanilla", teacher=None).spec.train.epochs == 240


def test_all_about_a_recipe(toys):
    (fast,) = [item for item in recipes(toys(), pytest.fail) if item.name == "fast"]
    assert (fast.qualified, fast.summary, fast.use, fast.variant_of) == (
        "kd-toys/fast",
        "Fast.",
        "toys",
        "cifar-240",
    )
    assert (fast.paper.title, fast.sources[0].files) == ("On Speed", ("a.yaml",))
    assert fast.distillers["kd-toys/toy"].options == {"alpha": 5.0}


def test_known_pairs(toys):
    plugins = toys()
    (pair,) = paper_settings(plugins.find(DistillerEntry, "toy", ""), "").pairs
    assert (pair.options, pair.source) == ({"beta": 2.0}, "toys c.yaml")
    assert pair.matches("big_one", "small_one", "fast")
    assert pair.matches("kd-toys/big", "timm/tiny.a1_in1k", "fast")
    assert not pair.matches("small", "big", "fast")
    assert not pair.matches("big", "small", "cifar-240")
    assert pair.matches("big", "small", "kd-toys/fast", "fast")
    assert not pair.matches("big", "small")


def test_settings_are_never_defaults(toys):
    spec = load(toys(toy=TOY.replace('recipe = "fast"', "")), teacher={"model": "resnet34"})
    assert spec.distillers[0].options.beta == 1.0


def test_a_distiller_without_settings(toys):
    plugins = toys(plugin=PLUGIN.replace(', settings="recipe_toys:data/toy.toml"', ""))
    assert paper_settings(plugins.find(DistillerEntry, "toy", ""), "").recipes == {}


def test_two_plugins_with_one_recipe(toys):
    toys()
    plugins = toys(name="kd-rival", module="recipe_rival")
    problem = problem_of(find_recipe, "fast", "recipe", plugins)
    assert "kd-rival 1.2 and kd-toys 1.2" in problem.message
    assert problem.allowed == "kd-rival/fast, kd-toys/fast"
    assert find_recipe("kd-rival/fast", "recipe", plugins).plugin.name == "kd-rival"
    with pytest.raises(UserError, match="2 plugins have a recipe of this name"):
        load(plugins, recipe="fast", distiller="kd-toys/toy")


def test_a_recipe_whose_package_is_not_installed(toys):
    problem = problem_of(find_recipe, "imagenet-100-ofa", "recipe", toys())
    assert (problem.where, problem.hint) == ("recipe", "pip install kd-ofa")


def test_the_schema_has_their_names(toys):
    names = spec_schema(toys())["properties"]["recipe"]["anyOf"][0]["enum"]
    assert {"fast", "kd-toys/fast", "cifar-240", "kdcore/cifar-240"} <= set(names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "recipe_toys:data/fast.toml: the package does not have this file"),
        ("use = ", "recipe_toys:data/fast.toml: it is not TOML: Invalid value (at"),
        (b"use = '\xff'", "recipe_toys:data/fast.toml: it is not UTF-8 text"),
        ("[spec]", "recipe_toys:data/fast.toml, use: this is missing; it must be text"),
        (FAST.replace('"toys"', "5"), "fast.toml, use: it must be text"),
        (FAST.replace('"toys"', '" "'), "fast.toml, use: this must not be empty"),
        (FAST.replace("variant_of", "variantof"), "fast.toml, variantof: this key is not known"),
        (FAST.replace("[spec.train]", "[spec.trian]"), "fast.toml, spec.trian: this key is not known"),
        (FAST + "[spec.teacher]\n", "fast.toml, spec.teacher: this key is not known"),
        (
            FAST.replace("[spec.train]", "[spec]\ntrain = 5\n[other]"),
            "fast.toml, other: this key is not known",
        ),
        ('use = "toys"\nspec = 5', "fast.toml, spec: it must be a table"),
        ('use = "toys"\nspec.train = 5', "fast.toml, spec.train: it must be a table"),
        ('use = "toys"\nspec = {}\nsources = 5', "fast.toml, sources: it must be an array of tables"),
        ('use = "toys"\nspec = {}\nsources = [5]', "fast.toml, sources: it must be an array of tables"),
        (FAST.replace('["a.yaml"]', "[5]"), "fast.toml, sources[0].files: it must be a list of texts"),
        (FAST.replace("url", "link"), "fast.toml, sources[0].link: this key is not known"),
        (FAST + "[distillers.toy]", "fast.toml, distillers.toy.source: this is missing; it must be text"),
    ],
)
def test_a_wrong_recipe_says_where(toys, text, words):
    plugins = toys(fast=text)
    problem = problem_of(find_recipe, "fast", "recipe", plugins)
    assert problem.where == "recipe"
    assert problem.message.startswith("recipe 'fast' of plugin kd-toys 1.2: ")
    assert words in problem.message
    assert "kd-toys" in problem.hint
    with pytest.raises(UserError, match=r"recipe 'fast' of plugin kd-toys 1\.2"):
        load(plugins, recipe="fast")


def test_a_wrong_key_has_the_nearest_and_those_that_are_allowed(toys):
    problem = problem_of(
        find_recipe, "fast", "recipe", toys(fast=FAST.replace("[spec.train]", "[spec.trian]"))
    )
    assert problem.nearest == "train"
    assert "optimizer" in problem.allowed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "recipe_toys:data/toy.toml: the package does not have this file"),
        ("[recipe.fast]", "toy.toml, recipe: this key is not known"),
        ("[recipes]\nfast = 5", "toy.toml, recipes.fast: it must be a table"),
        ('[recipes.fast]\nsource = "s"\noption = {}', "toy.toml, recipes.fast.option: this key is not known"),
        ('[recipes.fast]\nsource = "s"\noptions = 5', "toy.toml, recipes.fast.options: it must be a table"),
        (TOY.replace("spec.train.", "spec.run."), "toy.toml, recipes.fast.spec.run: this key is not known"),
        (TOY.replace("[[pairs]]", "[pairs]"), "toy.toml, pairs: it must be an array of tables"),
        (TOY.replace("students", "student"), "toy.toml, pairs[0].student: this key is not known"),
        (TOY.replace('["big*"]', "[]"), "toy.toml, pairs[0].teachers: it must be a list of texts"),
    ],
)
def test_wrong_settings_say_where(toys, text, words):
    plugins = toys(toy=text)
    with pytest.raises(UserError) as caught:
        load(plugins, recipe="fast", train={"epochs": 0})
    found = {problem.where: problem for problem in caught.value.problems}
    assert found.keys() == {"distiller", "train.epochs"}  # the other mistakes are reported too
    assert found["distiller"].message.startswith("distiller 'toy' of plugin kd-toys 1.2: ")
    assert words in found["distiller"].message


def test_a_broken_file_does_not_stop_the_list(toys):
    lines = []
    found = recipes(toys(fast="use", toy="pairs"), lines.append)
    assert "cifar-240" in {item.name for item in found}
    assert "fast" not in {item.name for item in found}
    assert [line.partition(" of plugin")[0] for line in lines] == ["recipe 'fast'", "distiller 'toy'"]


def test_wrong_options_in_a_recipe_are_reported_with_its_name(toys):
    with pytest.raises(UserError, match=r"distiller.alpa \(from recipe fast\)"):
        load(toys(toy=TOY.replace("alpha = 5.0", "alpa = 5.0")), recipe="fast")
