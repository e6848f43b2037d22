from __future__ import annotations

import pytest

from kdcore import UserError
from kdcore.models.architecture import PluginArchitecture, TimmArchitecture, find_architecture


def problem(caught):
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet18", "resnet18.a1_in1k"])
def test_models_of_timm(no_plugins, name):
    found = find_architecture(name, no_plugins, "student")
    assert isinstance(found, TimmArchitecture)
    assert found.name == "resnet18"


@pytest.mark.parametrize("name", ["tiny-net", "nets/tiny-net"])
def test_models_of_plugins(plugins, name):
    found = find_architecture(name, plugins, "student")
    assert isinstance(found, PluginArchitecture)
    assert found.name == "nets/tiny-net"


def test_unknown_name(plugins):
    with pytest.raises(UserError) as caught:
        find_architecture("resnet19", plugins, "teacher")
    assert problem(caught).where == "teacher.model"
    assert problem(caught).nearest == "resnet18"
    with pytest.raises(UserError) as caught:
        find_architecture("tinynet", plugins, "teacher")
    assert problem(caught).nearest in ("tiny-net", "tinynet_a")


def test_unknown_tag(no_plugins):
    with pytest.raises(UserError, match="resnet18 has no weights with the tag 'a1_in2k'") as caught:
        find_architecture("resnet18.a1_in2k", no_plugins, "student")
    assert problem(caught).nearest == "a1_in1k"
    assert "tv_in1k" in problem(caught).allowed


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp/model"])
def test_places_are_no_names(no_plugins, name):
    with pytest.raises(UserError, match="this is a location"):
        find_architecture(name, no_plugins, "student")


def test_one_name_in_timm_and_in_a_plugin(plugins):
    with pytest.raises(UserError) as caught:
        find_architecture("resnet10t", plugins, "student")
    assert "timm/resnet10t, nets/resnet10t" in problem(caught).allowed
    assert isinstance(find_architecture("timm/resnet10t", plugins, "student"), TimmArchitecture)
    assert isinstance(find_architecture("nets/resnet10t", plugins, "student"), PluginArchitecture)


def test_unknown_plugin(plugins):
    with pytest.raises(UserError) as caught:
        find_architecture("netz/tiny-net", plugins, "student")
    assert problem(caught).where == "student.model"


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((224, 224), {}, {}),
        ((32, 32), {}, {"img_size": [32, 32]}),
        ((32, 32), {"img_size": 64, "depth": 2}, {"img_size": 64, "depth": 2}),
        (None, {"depth": 2}, {"depth": 2}),
    ],
)
def test_fixed_sizes_are_passed_on_and_options_win(no_plugins, size, options, expected):
    found = find_architecture("vit_tiny_patch16_224", no_plugins, "student")
    assert found.arguments(options, False, size, "student") == expected


def test_free_sizes_are_not_passed_on(no_plugins):
    found = find_architecture("resnet18", no_plugins, "student")
    assert found.arguments({}, False, (32, 32), "student") == {}


def test_small_input_arguments(no_plugins):
    found = find_architecture("vit_tiny_patch16_224", no_plugins, "student")
    assert found.arguments({}, True, (32, 32), "student") == {"patch_size": 4, "img_size": [32, 32]}
    assert found.arguments({"patch_size": 8}, True, (32, 32), "student")["patch_size"] == 8
