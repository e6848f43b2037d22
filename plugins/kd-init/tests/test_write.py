"""A draft in three formats says the same, and comments stand in two of them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest
import yaml
from kd_init.draft import Wish, draft
from kd_init.suggest import KnownOption
from kd_init.write import as_dict, written

WISH = Wish(
    dataset="päckchen",
    student="resnet18",
    teacher="resnet34",
    weights="train",
    distiller="twin",
    recipe="cifar-240",
    image_size=32,
    small_input=True,
    splits=False,
    epochs=3,
    teacher_recipe="cifar-240",
    options=(KnownOption("beta", 2.0, "toys a.yaml"),),
)


def test_the_formats_say_the_same():
    lines = draft(WISH, teacher_file="t.json").spec
    spec = as_dict(lines)
    assert json.loads(written(lines, ".json")) == spec
    assert tomllib.loads(written(lines, ".toml")) == spec
    assert yaml.safe_load(written(lines, ".yaml")) == spec
    assert yaml.safe_load(written(lines, ".yml")) == spec
    assert "# for this pair, as in toys a.yaml" in written(lines, ".toml")
    assert "#" not in written(lines, ".json")
    assert all(line.comment in written(lines, suffix) for line in lines for suffix in (".toml", ".yaml"))


@pytest.mark.parametrize(("model", "what"), [(None, "a run directory"), ("resnet34", "a file of weights")])
def test_what_a_teachers_checkpoint_is(model, what):
    # a path relative to the spec's folder: it says nothing from elsewhere
    lines = draft(replace(WISH, teacher=model, weights="../teachers/big"), teacher_file="t.json").spec
    assert [line.comment for line in lines if line.path == ("teacher", "checkpoint")] == [what]


def test_what_is_drafted():
    made = draft(WISH, teacher_file="t.json")
    assert as_dict(made.spec) == {
        "recipe": "cifar-240",
        "data": {"dataset": "päckchen", "train_split": "", "eval_split": "", "image_size": 32},
        "teacher": {"run": "t.json"},
        "student": {"model": "resnet18", "small_input": True},
        "distiller": {"name": "twin", "beta": 2.0},
        "train": {"epochs": 3},
        "scheduler": {"name": "cosine", "warmup_epochs": 0},
    }
    teacher = as_dict(made.teacher)
    assert teacher["student"] == {"model": "resnet34", "small_input": True}
    assert teacher["distiller"] == {"name": "vanilla"}
    assert teacher["recipe"] == "cifar-240"
