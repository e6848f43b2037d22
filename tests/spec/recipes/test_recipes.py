"""The data files: whole, with their sources, and right for the spec and the distillers that they name."""

from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_spec
from kdcore.spec.models import RunSpec
from kdcore.spec.recipes import find_recipe, layered, recipes
from kdcore.spec.resolve import resolve_distiller

NAMES = list(recipes())
PARTS = [(name, distiller) for name in NAMES for distiller in recipes()[name].distillers]


def test_there_are_some_in_order():
    assert sorted(NAMES) == NAMES
    assert {"cifar-240", "imagenet-100"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_values_are_those_of_a_spec(name):
    recipe = recipes()[name]
    RunSpec.model_validate(layered({"student": {"model": "resnet18"}, "distiller": "kd"}, recipe.spec))
    assert {"data", "train", "optimizer", "scheduler"} <= recipe.spec.keys()
    assert not {"name", "seed", "output", "teacher", "distiller"} & recipe.spec.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_that_stands_on_it_loads(name, tmp_path):
    spec = tmp_path / "a.toml"
    spec.write_text(
        f'recipe = "{name}"\ndistiller = "kd"\nstudent.model = "resnet18"\nteacher.model = "resnet34"'
    )
    loaded = load_spec(spec).spec
    assert loaded.train.epochs == recipes()[name].spec["train"]["epochs"]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_where_it_is_from(name):
    recipe = recipes()[name]
    assert recipe.summary
    assert recipe.use
    assert all(
        source.title and source.files and source.url.startswith("https://") for source in recipe.sources
    )
    assert recipe.sources
    assert all(part.source for part in recipe.distillers.values())


@pytest.mark.parametrize(("name", "distiller"), PARTS)
def test_its_options_are_those_of_the_distiller(name, distiller):
    part = recipes()[name].distillers[distiller]
    found = resolve_distiller(distiller, part.options, get_plugins(), "distiller")
    assert found.provided.qualified == distiller
    values = recipes()[name].values(distiller)
    RunSpec.model_validate(layered({"student": {"model": "resnet18"}, "distiller": distiller}, values))


def test_the_values_of_the_papers():
    tables = find_recipe("cifar-240", "recipe")
    assert (tables.spec["train"], tables.spec["optimizer"]["lr"]) == ({"epochs": 240, "batch_size": 64}, 0.05)
    assert tables.distillers["kd-classic/nkd"].options == {"gamma": 3.5, "temperature": 3.0}
    assert tables.distillers["kd-classic/dist"].options["temperature"] == 4.0
    assert find_recipe("cifar-240-mobile", "recipe").spec["optimizer"]["lr"] == 0.01
    assert find_recipe("imagenet-100", "recipe").values("kd-feature/crd")["train"]["batch_size"] == 256
    assert find_recipe("imagenet-100", "recipe").values("kd-classic/dkd")["train"]["batch_size"] == 512


def test_the_mobile_recipe_differs_in_its_learning_rate_alone():
    tables, mobile = recipes()["cifar-240"], recipes()["cifar-240-mobile"]
    assert layered(mobile.spec, {"optimizer": {"lr": 0.05}}) == tables.spec
    assert mobile.distillers == tables.distillers


def test_an_unknown_name():
    with pytest.raises(UserError) as raised:
        find_recipe("cifar240", "recipe")
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
