"""What the commands make of the answers of `kdcore.spec` and of the preflight, which have tests of their own."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from kdcore.errors import Problem, UserError

PROBLEMS = [Problem("student.model", "no such model", value="x"), Problem("train.epochs", "too few", value=0)]


@pytest.fixture
def answers(monkeypatch):
    """Let loading and checking answer this; what was asked for is kept."""
    asked = {}

    def load_spec(path, *, overrides):
        asked["load"] = (str(path), tuple(overrides))
        if "load_error" in asked:
            raise asked["load_error"]
        return "the loaded spec"

    def check(loaded):
        asked["check"] = loaded
        if "check_error" in asked:
            raise asked["check_error"]
        return SimpleNamespace(
            warnings=("its weights are random",),
            lines=lambda: ["student  resnet10t"],
            as_dict=lambda: {"student": "resnet10t", "warnings": ["its weights are random"]},
        )

    fakes = {
        "kdcore.spec.load": {"load_spec": load_spec, "spec_schema": lambda plugins: {"title": "RunSpec"}},
        "kdcore.run.preflight": {"check": check},
    }
    for name, values in fakes.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**values))
    return asked


def test_a_valid_spec(kd, alone, answers):
    done = kd("validate", "a.json", "--set", "train.epochs=1", "--set", "seed=2")
    assert (done.code, done.out) == (0, "student  resnet10t\na.json is valid\n")
    assert done.err == "warning: its weights are random\n"
    assert answers["load"] == ("a.json", ("train.epochs=1", "seed=2"))
    assert answers["check"] == "the loaded spec"


def test_without_the_models(kd, alone, answers):
    assert kd("validate", "a.json", "--no-models").out == "a.json is valid\n"
    assert "check" not in answers


def test_as_json(kd, alone, answers):
    about = json.loads(kd("validate", "a.json", "--json").out)
    assert about == {"ok": True, "student": "resnet10t", "warnings": ["its weights are random"]}


@pytest.mark.parametrize("stage", ["load_error", "check_error"])
def test_problems_for_people_and_as_json(kd, alone, answers, stage):
    answers[stage] = UserError(PROBLEMS)
    done = kd("validate", "a.json")
    assert (done.code, done.out) == (2, "")
    assert "1. student.model: no such model" in done.err
    assert "2. train.epochs: too few" in done.err
    done = kd("validate", "a.json", "--json")
    assert done.code == 2
    assert json.loads(done.out) == {"ok": False, "problems": [problem.as_dict() for problem in PROBLEMS]}


def test_of_very_many_problems_the_first_are_told(kd, alone, answers):
    many = [Problem(f"distiller[{number}]", "no such thing") for number in range(300)]
    answers["load_error"] = UserError(many)
    done = kd("validate", "a.json")
    assert "error: 300 problems" in done.err
    assert "50. distiller[49]: no such thing" in done.err
    assert "distiller[50]" not in done.err
    assert "... and 250 more problems: fix these first" in done.err
    assert len(json.loads(kd("validate", "a.json", "--json").out)["problems"]) == 300
    assert "... and 250 more problems" in str(UserError(many))
    assert "more problems" not in str(UserError(many[:50]))


def test_the_schema(kd, alone, answers):
    assert json.loads(kd("schema").out) == {"title": "RunSpec"}
