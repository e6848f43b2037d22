from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from kdcore import UserError
from kdcore.features import TimmAdapter


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("resnet18", [32, 16, 8, 4]),
        ("resnet10t", [32, 16, 8, 4]),
        ("mobilenetv2_035", [16, 8, 4, 2]),
        ("mobilenetv3_small_050", [16, 8, 4, 2]),
        ("tf_efficientnet_b0", [16, 8, 4, 2]),
        ("test_convnext", [32, 16, 8, 4]),
        ("convnext_atto_ols", [32, 16, 8, 4]),
        ("test_vit", [8, 8, 8, 8]),
        ("deit_tiny_distilled_patch16_224", [8, 8, 8, 8]),
        ("swin_tiny_patch4_window7_224", [16, 8, 4, 2]),
        ("swinv2_tiny_window8_256", [16, 8, 4, 2]),
    ],
)
def test_grids_at_32_px(build, name, grids):
    built = build(name, small_input=True, image_size=None, device="meta")
    assert built.input.image_size == (32, 32)
    assert built.warnings == ()
    stages = TimmAdapter().stages(built.model, (32, 32))
    assert [stage.grid for stage in stages] == [(grid, grid) for grid in grids]


def test_the_cifar_stem_of_resnets(build):
    """The stem of He et al. 2016 for CIFAR: one 3x3 convolution with stride 1 and no pooling."""
    model = build("resnet18", small_input=True).model
    assert model.conv1.weight.shape == (64, 3, 3, 3)
    assert model.conv1.stride == model.conv1.padding == (1, 1)
    assert isinstance(model.maxpool, nn.Identity)
    plain = timm.create_model("resnet18", num_classes=10).state_dict()
    assert set(model.state_dict()) == set(plain)
    # as timm initialises its convolutions: fan out of 64 channels times 3x3
    assert model.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_reductions_become_true(build):
    for name in ("resnet18", "mobilenetv2_035", "convnext_atto_ols", "test_convnext"):
        model = build(name, small_input=True).model
        with torch.no_grad():
            maps = model.eval().forward_intermediates(torch.zeros(1, 3, 32, 32), intermediates_only=True)
        info = getattr(model.feature_info, "info", model.feature_info)
        assert [32 // entry["reduction"] for entry in info] == [found.shape[-1] for found in maps]


def test_the_weights_of_a_mobilenet_are_the_same(build):
    model = build("mobilenetv2_035", small_input=True).model
    plain = timm.create_model("mobilenetv2_035", num_classes=10)
    plain.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(plain.eval()(images), model.eval()(images))


@pytest.mark.parametrize("name", ["regnetx_002", "mixer_s32_224", "levit_128s"])
def test_others_have_none(build, name):
    with pytest.raises(UserError) as caught:
        build(name, small_input=True, image_size=64)
    (problem,) = caught.value.problems
    assert problem.where == "student.small_input"
    for family in ("ResNet", "MobileNet and EfficientNet", "ConvNeXt", "ViT and DeiT", "Swin"):
        assert family in problem.allowed
