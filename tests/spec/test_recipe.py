"""A spec on a recipe: who wins, what is told where, and that the resolved spec needs the recipe no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdcore import RunSpec, UserError
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_spec, resolve, resolved_dict, spec_schema

SPEC = {
    "recipe": "cifar-240",
    "student": {"model": "resnet18"},
    "teacher": {"model": "resnet34"},
    "distiller": "nkd",
}


@pytest.fixture
def load(tmp_path):
    def load(changes=None, *overrides):
        file = tmp_path / "a.json"
        file.write_text(json.dumps(SPEC | (changes or {})))
        return load_spec(file, overrides=overrides)

    return load


def problems(load, changes, *overrides):
    with pytest.raises(UserError) as raised:
        load(changes, *overrides)
    return list(raised.value.problems)


def options(loaded):
    return [item.options.model_dump() for item in loaded.distillers]


def test_the_recipe_fills_in(load):
    spec = load().spec
    assert (spec.train.epochs, spec.train.batch_size, spec.data.image_size) == (240, 64, 32)
    assert (spec.optimizer.name, spec.optimizer.filter_bias_and_bn) == ("momentum", False)
    assert spec.scheduler.decay_milestones == (150, 180, 210)
    assert spec.data.augment.crop == "pad"
    assert spec.student.model == "resnet18"


def test_the_spec_wins_key_by_key(load):
    spec = load({"train": {"epochs": 60}, "data": {"augment": {"hflip": 0.0}}}).spec
    assert (spec.train.epochs, spec.train.batch_size) == (60, 64)
    assert (spec.data.augment.crop, spec.data.augment.hflip, spec.data.image_size) == ("pad", 0.0, 32)


def test_without_labels_the_recipe_says_nothing_of_the_task_loss(load):
    assert load({"recipe": "imagenet-300-vit", "distiller": "dist"}).spec.task.label_smoothing == 0.1
    spec = load({"recipe": "imagenet-300-vit", "distiller": "dist", "task": {"kind": "none"}}).spec
    assert (spec.task.label_smoothing, spec.task.weight, spec.train.ema) == (0.0, 0.0, 0.99996)


def test_null_in_the_spec_wins_too(load):
    assert load({"recipe": "imagenet-300-vit"}).spec.train.ema == 0.99996
    assert load({"recipe": "imagenet-300-vit", "train": {"ema": None}}).spec.train.ema is None


def test_flags_win_over_both(load):
    spec = load({"train": {"epochs": 60}}, "train.epochs=5", "optimizer.lr=0.5").spec
    assert (spec.train.epochs, spec.train.batch_size, spec.optimizer.lr) == (5, 64, 0.5)


def test_a_flag_chooses_the_recipe_or_none(load):
    assert load({}, "recipe=imagenet-100").spec.train.epochs == 100
    assert load({}, "recipe=null").spec.train.epochs == 30


def test_options_of_another_optimizer_are_left_out(load):
    assert load({"recipe": "imagenet-450"}).spec.optimizer.options == {"eps": 0.001}
    spec = load({"recipe": "imagenet-450", "optimizer": {"name": "sgd"}}).spec
    assert (spec.optimizer.options, spec.optimizer.lr) == ({}, 0.048)


def test_options_of_models_are_those_of_both(load):
    model = {"model": "resnet18", "options": {"drop_path_rate": 0.1}}
    spec = load({"recipe": "imagenet-450", "student": model}).spec
    assert spec.student.options == {"drop_rate": 0.2, "drop_path_rate": 0.1}


def test_a_distiller_takes_what_the_recipe_has_for_it(load):
    assert options(load()) == [{"weight": 1.0, "correct": None, "gamma": 3.5, "temperature": 3.0}]
    (found,) = options(load({"distiller": {"name": "kd-classic/nkd", "gamma": 2}}))
    assert (found["gamma"], found["temperature"]) == (2, 3.0)
    assert options(load({"distiller": "sp"})) == options(load({"recipe": None, "distiller": "sp"}))


def test_sections_for_one_distiller(load):
    spec = load({"recipe": "imagenet-100", "distiller": "crd"}).spec
    assert (spec.train.batch_size, spec.optimizer.lr, spec.train.epochs) == (256, 0.1, 100)
    assert load({"recipe": "imagenet-100", "distiller": "kd"}).spec.task.weight == 0.5
    assert load({"recipe": "imagenet-100", "distiller": "kd", "task": {"weight": 2}}).spec.task.weight == 2


def test_several_distillers_take_their_options_but_no_sections(load):
    loaded = load({"distiller": ["nkd", {"name": "dist", "beta": 3.0}], "task": {"weight": 1}})
    nkd, dist = options(loaded)
    assert (nkd["gamma"], dist["temperature"], dist["beta"]) == (3.5, 4.0, 3.0)
    both = {"recipe": "imagenet-100", "distiller": ["crd", "kd"]}
    assert load(both, "task.weight=1").spec.train.batch_size == 512
    assert [problem.where for problem in problems(load, both)] == ["task.weight"]


def test_the_resolved_spec_needs_no_recipe(load, tmp_path):
    whole = resolved_dict(load())
    assert whole["recipe"] == {"applied": "cifar-240"}
    whole["recipe"]["applied"] = "one that is gone"
    again = tmp_path / "spec.json"
    again.write_text(json.dumps(whole))
    loaded = resolved_dict(load_spec(again))
    assert loaded == whole
    del whole["train"]["epochs"]
    again.write_text(json.dumps(whole))
    assert load_spec(again).spec.train.epochs == 30


def test_an_unknown_name(load):
    (problem,) = problems(load, {"recipe": "cifar240"})
    assert (problem.where, problem.value, problem.nearest) == ("recipe", "cifar240", "cifar-240")


def test_an_unknown_name_is_told_beside_the_other_mistakes(load):
    found = problems(load, {"recipe": "cifar240", "train": {"epochs": 0}, "distiller": "nkt"})
    assert [problem.where for problem in found] == ["recipe", "distiller", "train.epochs"]


@pytest.mark.parametrize("value", [5, ["cifar-240"], {"name": "cifar-240"}, True, ""])
def test_what_is_no_name(load, value):
    assert problems(load, {"recipe": value})[0].where.startswith("recipe")


def test_a_mistake_in_a_merged_value_is_told_at_its_place(load):
    (problem,) = problems(load, {"recipe": "imagenet-300-vit", "train": {"epochs": 10}})
    assert problem.where == "scheduler.warmup_epochs (from recipe imagenet-300-vit)"
    (problem,) = problems(
        load, {"recipe": "imagenet-300-vit", "teacher_cache": {"augmentations": 2}}, "data.mixup=0"
    )
    assert problem.where == "data.cutmix (from recipe imagenet-300-vit)"


def test_a_mistake_of_the_spec_is_its_own(load):
    (problem,) = problems(load, {"distiller": {"name": "nkd", "gamma": -1}})
    assert problem.where == "distiller.gamma"
    (problem,) = problems(load, {"train": 5})
    assert problem.where == "train"
    (problem,) = problems(load, {"recipe": "imagenet-450"}, "student=null")
    assert problem.where == "student (--set student=null)"


def test_a_missing_student_is_missing(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"recipe": "imagenet-450", "distiller": "vanilla"}')
    with pytest.raises(UserError, match=r"student: this is missing"):
        load_spec(file)


def test_a_spec_made_in_python():
    spec = RunSpec(recipe="cifar-240", student={"model": "resnet18"}, distiller="nkd", train={"epochs": 7})
    found = resolve(spec, base=Path.cwd())
    assert (found.spec.train.epochs, found.spec.train.batch_size) == (7, 64)
    assert found.spec.distiller[0].options["gamma"] == 3.5
    assert found.spec.recipe.applied == "cifar-240"
    assert resolve(found.spec, base=Path.cwd()).spec == found.spec


def test_a_spec_made_in_python_with_mistakes():
    with pytest.raises(UserError, match="did you mean 'cifar-240'"):
        resolve(RunSpec(recipe="cifar240", student={"model": "resnet18"}, distiller="nkd"), base=Path.cwd())
    spec = RunSpec(
        recipe="imagenet-300-vit", student={"model": "resnet18"}, distiller="kd", train={"epochs": 3}
    )
    with pytest.raises(UserError, match=r"warmup_epochs \(from recipe imagenet-300-vit\)"):
        resolve(spec, base=Path.cwd())


def test_the_schema_knows_the_names():
    import jsonschema

    accepts = jsonschema.Draft202012Validator(spec_schema(get_plugins())).is_valid
    assert accepts(SPEC)
    assert accepts(SPEC | {"recipe": None})
    assert accepts(SPEC | {"recipe": {"applied": "x"}})
    assert not accepts(SPEC | {"recipe": "cifar240"})
