"""`kd list-recipes`, and `kd show` of one."""

from __future__ import annotations

import json

from kdcore import RecipeEntry
from kdcore.plugins import get_plugins

NAMES = [item.entry.name for item in get_plugins().all(RecipeEntry)]


def test_the_list(kd):
    done = kd("list-recipes")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["name", *NAMES]


def test_the_list_as_json(kd):
    found = json.loads(kd("list-recipes", "--json").out)
    assert [item["name"] for item in found] == NAMES
    fields = {"name", "summary", "use", "paper", "sources", "spec", "distillers", "variant_of"}
    assert found[0].keys() == fields | {"qualified", "plugin", "distribution", "version"}


def test_one(kd):
    text = kd("show", "imagenet-100").out
    assert text.startswith("imagenet-100: recipe of kdcore 0.1.0 for 224 px")
    assert "https://github.com/megvii-research/mdistiller: configs/imagenet/r34_r18/*.yaml" in text
    assert '"train": {"epochs": 100, "batch_size": 512}' in text
    assert '{"train": {"batch_size": 256}, "optimizer": {"lr": 0.1}}' in text
    assert '{"recipe": "imagenet-100"}' in text


def test_one_as_json(kd):
    about = json.loads(kd("show", "cifar-240", "--json").out)
    assert (about["role"], about["spec"]["train"]["epochs"]) == ("recipe", 240)


def test_a_name_like_one(kd):
    assert "did you mean 'cifar-240'?" in kd("show", "cifar-2400").err


def test_a_model_with_the_name_of_one(kd, add_plugin):
    add_plugin(
        "kd-same",
        """
        @hookimpl
        def kd_models():
            return [ModelEntry(name="cifar-240", summary="A model.", target="kd_same:T")]
        """,
    )
    text = kd("show", "cifar-240").out
    assert "cifar-240: model of kd-same 1.0" in text
    assert "cifar-240: recipe of kdcore" in text
