"""`kd list-models`."""

from __future__ import annotations

import json

import pytest

NETS = """
@hookimpl
def kd_models():
    return [ModelEntry(name=name, summary="Small.", target="m:T") for name in ("foxnet", "resnet10t")]
"""


@pytest.fixture
def nets(add_plugin, alone):
    add_plugin("kd-nets", NETS, version="1.2")


def test_models_of_timm_and_of_plugins(kd, nets):
    done = kd("list-models", "*net")
    assert (done.code, done.err) == (0, "")
    head, *rows = [line.split() for line in done.out.splitlines()]
    assert head == ["name", "from", "pretrained", "weights"]
    assert ["foxnet", "kd-nets", "Small."] in rows


def test_two_models_with_one_name_are_listed_as_a_spec_names_them(kd, nets):
    found = json.loads(kd("list-models", "*resnet10t", "--json").out)
    assert [(item["name"], item["source"]) for item in found if "resnet10t" in item["name"]] == [
        ("kd-nets/resnet10t", "kd-nets"),
        ("timm/resnet10t", "timm"),
    ]


def test_json_has_the_tags(kd, nets):
    done = kd("list-models", "resnet18", "--pretrained", "--json")
    assert done.err == ""
    (found,) = [item for item in json.loads(done.out) if item["name"] == "resnet18"]
    assert found.keys() == {"name", "source", "pretrained", "summary"}
    assert "a1_in1k" in found["pretrained"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnte18"], ["PATTERN", "resnte18", "did you mean 'resnet18'", "for example"]),
        (["resnte18*"], ["did you mean 'resnet18'"]),
        (["zzzzzz"], ["no model has a name like this", "kd list-models lists all names"]),
        (["foxnet", "--pretrained"], ["have no pretrained weights", "leave out --pretrained"]),
    ],
)
def test_nothing_matches(kd, nets, arguments, words):
    done = kd("list-models", *arguments)
    assert (done.code, done.out) == (2, "")
    assert all(word in done.err for word in words), done.err
