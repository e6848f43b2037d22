from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from torch import nn

from kdcore import UserError
from kdcore.models.model_call import ModelCall, find_model_call
from kdcore.plugins import Plugins
from kdcore.spec.models import ModelSpec


def call_of(plugins: Plugins, **section: Any) -> ModelCall:
    return find_model_call(
        ModelSpec.model_validate(section), num_classes=7, in_chans=1, image_size=(32, 32), plugins=plugins
    )


def build(call: ModelCall) -> nn.Module:
    model: nn.Module = getattr(import_module(call.module), call.function)(*call.arguments, **call.keywords)
    return model


def test_of_timm(no_plugins):
    call = call_of(no_plugins, model="resnet10t", options={"channels": [4, 4, 4, 4]})
    assert (call.module, call.function, call.arguments) == ("timm", "create_model", ("resnet10t",))
    assert call.keywords == {"num_classes": 7, "in_chans": 1, "channels": (4, 4, 4, 4)}
    assert call.distribution == "timm"
    assert build(call).num_classes == 7


def test_arguments_of_a_small_input_variant(no_plugins):
    call = call_of(no_plugins, model="vit_tiny_patch16_224", small_input=True, options={"depth": 1})
    assert call.keywords["img_size"] == (32, 32)
    assert call.keywords["patch_size"] < 16


def test_of_a_plugin(plugins):
    call = call_of(plugins, model="tiny-net", options={"width": 5})
    assert (call.module, call.function) == ("nets_under_test", "TinyNet")
    assert (call.arguments, call.keywords) == ((7, 1), {"width": 5})
    assert call.distribution == "nets"
    assert build(call).fc.out_features == 7


def test_options_of_a_plugin_get_its_defaults(plugins):
    assert call_of(plugins, model="nets/checked-net").keywords == {"width": 6, "bias": False}
    with pytest.raises(UserError, match="width"):
        call_of(plugins, model="checked-net", options={"width": 0})


def test_no_such_model(no_plugins):
    with pytest.raises(UserError, match="resnet10x"):
        call_of(no_plugins, model="resnet10x")
