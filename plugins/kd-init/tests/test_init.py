"""`kd_init.init`: the spec that `kd init` writes, from Python."""

from __future__ import annotations

import json

import pytest
from kd_init import InitResult, init

from kdcore import UserError
from kdcore.inspect import load_spec


def test_what_is_not_said_is_suggested(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = init(models=False)
    assert isinstance(made, InitResult)
    assert [str(path) for path in made.files] == ["spec.toml", "spec-teacher.toml"]
    assert made.warnings == ()
    loaded = load_spec(made.files[0])
    assert made.spec["student"]["model"] == loaded.spec.student.model == "resnet10t"
    assert loaded.distillers[0].name == "twin"
    assert loaded.teachers["teacher"].spec.student.model == "resnet34"


def test_what_is_said_is_taken(alone, tmp_path):
    file = tmp_path / "a.json"
    made = init(
        file,
        student="resnet18",
        teacher="none",
        recipe="cifar-240",
        image_size=(48, 96),
        small_input=False,
        epochs=7,
        models=False,
    )
    assert made.files == (file,)
    assert made.spec == json.loads(file.read_text())
    assert made.spec["student"] == {"model": "resnet18"}
    assert (made.spec["recipe"], made.spec["data"]["image_size"], made.spec["train"]["epochs"]) == (
        "cifar-240",
        [48, 96],
        7,
    )


def test_options_of_a_known_pair_are_in_the_spec_and_the_variant_of_a_recipe_is_not_the_teachers(
    toys, tmp_path
):
    pair = {"student": "resnet18", "teacher": "resnet34", "dataset": "torch/cifar100", "models": False}
    made = init(tmp_path / "a.yaml", distiller="plain", **pair)
    assert made.spec["distiller"] == {"name": "plain", "stages": [2, 3]}
    assert "# for this pair, as in toys b.yaml" in made.files[0].read_text()
    assert load_spec(made.files[0]).distillers[0].options.beta == 2.0  # the recipe's
    made = init(tmp_path / "b.json", recipe="toy-100", teacher_weights="train", distiller="quiet", **pair)
    loaded = load_spec(made.files[0])
    assert (loaded.spec.recipe.applied, loaded.teachers["teacher"].spec.recipe.applied) == (
        "toy-100",
        "imagenet-100",
    )


def test_broken_settings_are_reported_and_nothing_is_written(toys, site, tmp_path):
    (site / "kd_toys" / "settings.toml").write_text("[pair]")
    pair = {"student": "resnet18", "teacher": "resnet34", "models": False}
    with pytest.raises(
        UserError, match=r"distiller 'plain' of plugin kd-toys 1\.0: kd_toys:settings\.toml, pair: "
    ):
        init(tmp_path / "a.toml", distiller="plain", **pair)
    assert not list(tmp_path.iterdir())
    assert init(tmp_path / "a.toml", distiller="twin", **pair).files


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("student", "resnt18", "did you mean 'resnet18'"),
        ("teacher_weights", "trained", "did you mean 'train'"),
        ("image_size", 3, "whole numbers from 8"),
        ("epochs", 0, "whole numbers from 1"),
        ("teacher_model", "resnet18", "a teacher's file of weights"),
    ],
)
def test_a_wrong_argument_is_named(toys, tmp_path, argument, value, words):
    with pytest.raises(UserError, match=words) as caught:
        init(tmp_path / "a.toml", models=False, **{argument: value})
    assert [problem.where for problem in caught.value.problems] == [argument]
    assert not list(tmp_path.iterdir())
