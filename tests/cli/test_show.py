from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdcore.spec.models import RunSpec

FOX = """
from typing import Literal
from pydantic import Field
from kdcore import DistillerOptions, Paper

class Options(DistillerOptions):
    beta: float = Field(8.0, gt=0, description="The other factor.")
    mode: Literal["slow", "fast"] = Field("slow", description="How.")

@hookimpl
def kd_distillers():
    return [DistillerEntry(
        name="red", kind="logit", summary="Reddens.", target="kd_fox:T", options="kd_fox:Options",
        task_weight=0.5,
        paper=Paper(title="On Red", year=2020, url="https://example.org/red"), formula="beta * red",
    )]
@hookimpl
def kd_models():
    return [ModelEntry(name="den", summary="A model.", target="kd_fox:T")]
@hookimpl
def kd_datasets():
    return [DatasetEntry(name="den", summary="A dataset.", target="kd_fox:T")]
"""


@pytest.fixture
def fox(add_plugin, alone):
    add_plugin("kd-fox", FOX, version="1.2")


def test_a_distiller(kd, fox):
    done = kd("show", "red")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "red: logit distiller of kd-fox 1.2"
    assert lines[1] == "Reddens."
    assert "formula beta * red" in lines
    assert "paper On Red (2020), https://example.org/red" in lines
    assert "task weight 0.5 (weight of the task loss, unless 'task.weight' is set)" in lines
    assert "name type default meaning" in lines
    assert "beta float > 0 8.0 The other factor." in lines
    assert 'mode "slow" | "fast" "slow" How.' in lines


def test_its_spec_can_be_copied(kd, fox):
    text = kd("show", "red").out
    spec = RunSpec.model_validate(json.loads(text[text.index("{") : text.rindex("}") + 1]))
    assert spec.distiller[0].name == "red"
    assert spec.distiller[0].options == {"weight": 1.0, "beta": 8.0, "mode": "slow"}
    assert spec.teacher is not None


def test_the_baseline_has_no_teacher(kd, alone):
    assert "teacher" not in json.loads(kd("show", "vanilla", "--json").out)["example"]


def test_as_json(kd, fox):
    about = json.loads(kd("show", "kd-fox/red", "--json").out)
    assert about["role"] == "distiller"
    assert about["version"] == "1.2"
    assert about["options_model"] == "kd_fox:Options"
    assert about["options"][1] == {
        "name": "beta",
        "type": "float > 0",
        "required": False,
        "default": 8.0,
        "meaning": "The other factor.",
    }


def test_adapter_and_dataset(kd, alone):
    assert '"adapter": "timm"' in kd("show", "timm").out
    done = kd("show", "digits")
    assert '"dataset": "digits"' in done.out
    assert "classes      10" in done.out


def test_one_name_in_two_roles_shows_both(kd, fox):
    text = kd("show", "den").out
    assert "den: dataset of kd-fox 1.2" in text
    assert "den: model of kd-fox 1.2" in text
    about = json.loads(kd("show", "den", "--json").out)
    assert [about["role"], about["others"][0]["role"]] == ["dataset", "model"]


def test_an_unknown_name(kd, fox):
    done = kd("show", "reed")
    assert (done.code, done.out) == (2, "")
    assert "nothing has this name" in done.err
    assert "did you mean 'red'?" in done.err
    (allowed,) = [line for line in done.err.splitlines() if "allowed: " in line]
    assert all(name in allowed for name in ("cifar-240", "den", "digits", "red", "timm", "vanilla"))


def test_an_optimizer_is_named_as_one(kd, alone):
    done = kd("show", "dot")
    assert (done.code, done.out) == (2, "")
    assert "this is an optimizer" in done.err
    assert '"optimizer": {"name": "dot"}' in done.err
    assert "'optimizer.delta'; docs/methods/dot.md has" in done.err
    assert (Path(__file__).parents[2] / "docs" / "methods" / "dot.md").is_file()


def test_an_optimizer_of_timm_is_named_as_one(kd, alone):
    done = kd("show", "lookahead_AdamW")
    assert done.code == 2
    assert '"optimizer": {"name": "lookahead_adamw"}' in done.err
    assert "one of timm's" in done.err


def test_a_name_whose_plugin_is_disabled(kd, fox):
    assert "distiller 'fitnet' comes with" in kd("show", "fitnet").err


def test_a_plugin_is_no_thing(kd, fox):
    assert "it is a plugin: kd plugins kd-fox" in kd("show", "kd-fox").err


def test_a_name_that_two_plugins_have(kd, fox, add_plugin):
    add_plugin("kd-owl", FOX)
    done = kd("show", "red")
    assert done.code == 2
    assert "kd-fox 1.2 and kd-owl 1.0" in done.err
    done = kd("show", "kd-fox/red", "--json")
    assert json.loads(done.out)["example"]["distiller"]["name"] == "kd-fox/red"


def test_options_that_cannot_be_imported(kd, add_plugin, alone):
    add_plugin("kd-owl", FOX.replace("kd_fox:Options", "kd_fox_nowhere:Options"))
    done = kd("show", "red")
    assert done.code == 2
    assert "its options, kd_fox_nowhere:Options, cannot be loaded" in done.err
