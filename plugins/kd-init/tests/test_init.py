"""`kd_init.init`: the spec that `kd init` writes, from Python."""

from __future__ import annotations

import json

import pytest

from kd_init import InitResult, init

from kdcore import UserError
from kdcore.spec.load import load_spec


def test_what_is_not_said_is_suggested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = init(models=False)
    assert isinstance(made, InitResult)
    assert [str(path) for path in made.files] == ["spec.toml", "spec-teacher.toml"]
    assert made.warnings == ()
    loaded = load_spec(made.files[0])
    assert made.spec["student"]["model"] == loaded.spec.student.model == "resnet10t"
    assert loaded.teacher.spec.student.model == "resnet34"


def test_what_is_said_is_taken(tmp_path):
    file = tmp_path / "a.json"
    made = init(
        file,
        student="resnet18",
        teacher="none",
        recipe="cifar-240",
        image_size=48,
        small_input=False,
        epochs=7,
        models=False,
    )
    assert made.files == (file,)
    assert made.spec == json.loads(file.read_text())
    assert made.spec["student"] == {"model": "resnet18"}
    assert (made.spec["recipe"], made.spec["data"]["image_size"], made.spec["train"]["epochs"]) == (
        "cifar-240",
        48,
        7,
    )


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("student", "resnt18", "did you mean 'resnet18'"),
        ("teacher_weights", "trained", "did you mean 'train'"),
        ("image_size", 3, "whole numbers from 8"),
        ("epochs", 0, "whole numbers from 1"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path, argument, value, words):
    with pytest.raises(UserError, match=words) as caught:
        init(tmp_path / "a.toml", models=False, **{argument: value})
    assert [problem.where for problem in caught.value.problems] == [argument]
    assert not list(tmp_path.iterdir())
