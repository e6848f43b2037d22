"""The adapter keeps the contract, and its stages halve the grid."""

from __future__ import annotations

import pytest
import torch
from kdcore import UserError
from kdcore.testing import adapter_checks, parametrize_with_checks
from torchvision.models.swin_transformer import SwinTransformer

from kd_torchvision.adapter import TorchvisionAdapter
from kd_torchvision.models import build


def tiny_swin():
    return SwinTransformer([4, 4], 12, [1, 1, 1, 1], [1, 1, 2, 2], [2, 2], num_classes=10)


MODELS = [("torchvision_mobilenet_v3_small", 64), (tiny_swin, 64)]
CHANNELS = {  # of stages 1 to 4
    "convnext_tiny": (96, 192, 384, 768),
    "densenet121": (256, 512, 1024, 1024),
    "efficientnet_b0": (24, 40, 112, 320),
    "efficientnet_v2_m": (48, 80, 176, 512),
    "mobilenet_v2": (24, 32, 96, 320),
    "mobilenet_v3_large": (24, 40, 112, 160),
    "regnet_x_400mf": (32, 64, 160, 400),
    "resnet50": (256, 512, 1024, 2048),
    "swin_t": (96, 192, 384, 768),
    "vgg16_bn": (128, 256, 512, 512),
}


@parametrize_with_checks(adapter_checks("torchvision", models=MODELS))
def test_conformance(check):
    check()


@pytest.mark.parametrize("name", CHANNELS)
def test_stages(name):
    with torch.device("meta"):
        model = build(name, 7, 3)
    first = 64 if name.startswith("vgg") else 32
    found = TorchvisionAdapter().stages(model, (128, 128))
    assert [info.channels for info in found] == list(CHANNELS[name])
    assert [info.grid for info in found] == [(first // 2**n, first // 2**n) for n in range(4)]
    assert model.training


@pytest.mark.parametrize("name", CHANNELS)
def test_the_logits_are_those_of_the_model_and_the_embedding_is_before_the_last_layer(name):
    with torch.device("meta"):
        model = build(name, 7, 3).eval()
        images = torch.empty(2, 3, 64, 64)
    output = TorchvisionAdapter().forward(model, images, (2, 4), True)
    assert output.logits.shape == (2, 7)
    assert set(output.features) == {2, 4}
    assert output.embedding.shape == (2, model.get_classifier().in_features)


@pytest.mark.parametrize(
    "name", ["densenet121", "efficientnet_b0", "mobilenet_v2", "regnet_x_400mf", "resnet18"]
)
def test_equal_logits(name):
    """Of the families that the conformance checks above leave out, and that are small enough."""
    model = build(name, 7, 3).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        output = TorchvisionAdapter().forward(model, images, (1, 2, 3, 4), True)
        assert torch.equal(output.logits, model(images))
        torch.testing.assert_close(model.get_classifier()(output.embedding), output.logits)


def test_other_families_are_refused():
    with torch.device("meta"):
        model = build("shufflenet_v2_x0_5", 7, 3)
    with pytest.raises(UserError, match=r"(?s)ShuffleNetV2 has no stages here.*module paths"):
        TorchvisionAdapter().stages(model, (32, 32))
