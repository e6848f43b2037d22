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


def test_a_distiller_has_its_options_per_recipe_and_for_known_models(kd):
    lines = kd("show", "dkd").out.splitlines()
    assert any(line.split()[:3] == ["imagenet-100", "alpha", "1.0,"] for line in lines)
    (pair,) = [line for line in lines if line.startswith("cifar_resnet56 -> cifar_resnet20 ")]
    assert "beta 2.0  mdistiller configs/cifar100/dkd/res56_res20.yaml" in pair
    settings = json.loads(kd("show", "dkd", "--json").out)["settings"]
    assert settings["recipes"]["imagenet-100"]["options"]["beta"] == 0.5
    assert settings["pairs"][0]["students"] == ["cifar_resnet32"]
    assert not [line for line in kd("show", "vanilla").out.splitlines() if "recipe" in line]


def test_wrong_files_do_not_stop_the_list_and_the_description(kd, add_plugin):
    add_plugin(
        "kd-wrong",
        """
        from kdcore import RecipeEntry
        @hookimpl
        def kd_distillers():
            return [DistillerEntry(name="off", kind="logit", summary="Off.", target="m:T",
                                   options="kdcore:DistillerOptions", settings="kd_wrong:off.toml")]
        @hookimpl
        def kd_recipes():
            return [RecipeEntry(name="gone", summary="Gone.", path="kd_absent:gone.toml")]
        """,
    )
    listed = kd("list-recipes")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == ["name", *NAMES]
    assert (
        "warning: recipe 'gone' of plugin kd-wrong 1.0: kd_absent:gone.toml: its package cannot be"
        in listed.err
    )
    assert (
        "warning: distiller 'off' of plugin kd-wrong 1.0: kd_wrong:off.toml: kd_wrong is a module, not a"
        in listed.err
    )
    shown = kd("show", "off")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "off: logit distiller of kd-wrong 1.0")
    assert "warning: distiller 'off' of plugin kd-wrong 1.0" in shown.err
    gone = kd("show", "gone")
    assert (gone.code, gone.out) == (2, "")
    assert "error: kd show: recipe 'gone' of plugin kd-wrong 1.0" in gone.err


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
