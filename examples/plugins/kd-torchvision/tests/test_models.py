"""torchvision's models: all of them, with their own weights' names, and with what kd asks of a model."""

from __future__ import annotations

import copy
from importlib import import_module

import pytest
import torch
import torchvision
from kdcore import UserError
from kdcore.models import build_model
from kdcore.plugins import get_plugins
from kdcore.spec.models import ModelSpec

from kd_torchvision.plugin import MODELS, kd_models

NAMES = [name for names in MODELS.values() for name in names.split()]
ONE_OF_EACH = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vit_b_16",
]


def build(name, num_classes=7, in_chans=3, device="meta", **options):
    spec = ModelSpec(model=name, options=options)
    return build_model(
        spec,
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=None,
        plugins=get_plugins(),
        where="student",
        device=device,
    )


def test_all_are_declared_and_none_else():
    assert sorted(NAMES) == torchvision.models.list_models(module=torchvision.models)
    assert len(kd_models()) == len(NAMES) == 80


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_classes_channels_and_names_of_weights(name):
    for in_chans in (3, 1):
        built = build(f"torchvision_{name}", in_chans=in_chans)
        images = torch.empty(2, in_chans, *built.input.image_size, device="meta")
        assert built.model.eval()(images).shape == (2, 7)
        (head,) = {value.shape[0] for value in built.model.get_classifier().state_dict().values()}
        assert head == 7
    assert built.input.mean == pytest.approx([0.449], abs=1e-3)
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # whose constructor reads numbers
        extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        own = torchvision.models.get_model(name, weights=None, num_classes=7, **extra)
    theirs = {key: value.shape for key, value in own.state_dict().items()}
    ours = {key: value.shape for key, value in build(f"torchvision_{name}").model.state_dict().items()}
    assert ours == theirs
    assert isinstance(built.model, type(own))


def test_options():
    small = build("torchvision_resnet18", stem="cifar")
    assert small.input.image_size == (32, 32)
    images = torch.empty(2, 3, 32, 32, device="meta")
    maps = small.model.layer1(
        small.model.maxpool(small.model.relu(small.model.bn1(small.model.conv1(images))))
    )
    assert maps.shape == (2, 64, 32, 32)
    assert build("torchvision_mobilenet_v2", dropout=0.5).model.classifier[0].p == 0.5
    assert build("torchvision_mobilenet_v2").model.classifier[0].p == 0.2
    assert build("torchvision_vit_b_16", image_size=64).input.image_size == (64, 64)
    with pytest.raises(UserError, match=r"student\.options\.stm: .*\n.*did you mean 'stem'"):
        build("torchvision_resnet18", stm="cifar")
    with pytest.raises(UserError, match="model 'torchvision_regnet_x_400mf' has no key 'dropout'"):
        build("torchvision_regnet_x_400mf", dropout=0.1)


def test_weights_are_initial_and_the_models_logits_torchvisions_own():
    model = build("torchvision_mobilenet_v3_small", device="cpu").model.eval()
    own = torchvision.models.mobilenet_v3_small(weights=None, num_classes=7).eval()
    own.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images), own(images))
        assert torch.equal(copy.deepcopy(model)(images), own(images))


def test_other_names_are_refused():
    module = import_module("kd_torchvision.models")
    with pytest.raises(AttributeError, match="torchvision has no model 'resnet19'"):
        module.resnet19  # noqa: B018
