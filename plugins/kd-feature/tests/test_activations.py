"""Where the map of a stage is before its last ReLU, in real networks."""

from __future__ import annotations

import pytest
import timm
import torch
from kd_dev.testing.values import model_of_shapes
from kd_feature.activations import before_activation, block_end

from kdcore import AdaptedModel
from kdcore.inspect import find_adapter
from kdcore.plugin import get_plugins

SMALL = {"layers": (1, 1, 1, 2), "channels": (8, 8, 8, 8), "stem_width": 8}


def _built(name, **options):
    model = timm.create_model(name, num_classes=3, **options).eval()
    for norm in (one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.bias)  # at the start, the last norm of a block gives zeros
        torch.nn.init.ones_(norm.weight)
    adapter = find_adapter(model, None, get_plugins(), "student")
    return model, adapter, AdaptedModel(model=model, adapter=adapter, image_size=(64, 64)).info(3)


@pytest.mark.parametrize(
    ("name", "options", "block"),
    [
        ("resnet18", SMALL, "layer4.1.act2"),
        ("resnet50", SMALL, "layer4.1.act3"),
        ("seresnet50", SMALL, "layer4.1.act3"),
        ("regnetx_002", {}, "s4.b7.act3"),
    ],
)
def test_the_stage_is_the_relu_of_this_map(name, options, block):
    model, adapter, info = _built(name, **options)
    assert before_activation(info, [4]) == (f"{block}:in",)
    seen = {}
    modules = {n: block_end(info, n).stage.removesuffix(":in") for n in (1, 2, 3, 4)}
    for number, path in modules.items():
        model.get_submodule(path).register_forward_pre_hook(
            lambda module, args, number=number: seen.update({number: args[0].clone()})
        )
    with torch.no_grad():
        features = adapter.forward(model, torch.randn(2, 3, 64, 64), (1, 2, 3, 4), False).features
    for number, feature in features.items():
        assert (seen[number] < 0).any()
        assert torch.equal(seen[number].relu(), feature.map)


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_efficientnet"])
def test_other_networks_keep_their_stage(name):
    options = {"img_size": 64} if "vit" in name else {}
    info = _built(name, **options)[2]
    assert before_activation(info, [1, 4]) == (1, 4)


def test_paths_and_models_without_modules_stay_as_they_are():
    info = model_of_shapes("shapes", [(4, (2, 2), 0)] * 4)
    assert before_activation(info, [2, "layer4.1"]) == (2, "layer4.1")
