"""The rest of a model from a stage on, against whole passes."""

from __future__ import annotations

import copy
from functools import cache
from importlib import import_module

import pytest
import timm
import torch
from torch import nn

from kdcore import Distillation, FeatureMap, Requires, TimmAdapter, UserError
from kdcore.features import PlainAdapter, find_adapter, model_info
from kdcore.features.tail import _CHAINS, Tail
from kdcore.plugins import get_plugins

SWIN = {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 4), "window_size": 4, "img_size": 64}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "num_heads": 3, "depth": 4}
# one of each class, and of each of its forms: norms, pools and heads at other places, class and register tokens
CASES = {
    "ResNet": ("resnet10t", {}, 32),
    "EfficientNet": ("mobilenetv2_035", {}, 32),
    "EfficientNet with large head": ("test_efficientnet", {}, 32),
    "MobileNetV3": ("mobilenetv3_small_050", {}, 32),
    "ConvNeXt": ("test_convnext", {}, 32),
    "VisionTransformer": ("vit_tiny_patch16_224", VIT, 32),
    "VisionTransformer with registers": ("vit_tiny_patch16_224", {**VIT, "reg_tokens": 2}, 32),
    "VisionTransformer with mean": (
        "vit_tiny_patch16_224",
        {**VIT, "class_token": False, "global_pool": "avg"},
        32,
    ),
    "VisionTransformerDistilled": ("deit_tiny_distilled_patch16_224", VIT, 32),
    "SwinTransformer": ("swin_tiny_patch4_window7_224", SWIN, 64),
    "SwinTransformerV2": ("swinv2_tiny_window8_256", SWIN, 64),
    "MlpMixer": ("mixer_s32_224", {"img_size": 64}, 64),
    "RegNet": ("regnetx_002", {}, 32),
    "DenseNet": ("densenet121", {"block_config": (2, 2, 2, 2)}, 32),
    "MetaFormer": ("poolformer_s12", {}, 32),
    "RepVit": ("repvit_m0_9", {}, 32),
    "VGG": ("vgg11", {"mlp_ratio": 0.02}, 32),
    "EdgeNeXt": ("edgenext_xx_small", {}, 64),
    "MetaNeXt": ("inception_next_atto", {}, 64),
    "HighPerfGpuNet": ("hgnetv2_b0", {}, 64),
    "EfficientVit": ("efficientvit_b0", {}, 64),
    "ByobNet": ("test_byobnet", {}, 64),
}


@cache
def build(case: str) -> tuple[nn.Module, torch.Tensor]:
    name, options, size = CASES[case]
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **options).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() < 2 or not parameter.any():  # branches and heads that begin at zero
            nn.init.normal_(parameter, 1.0, 0.2)
    return model, torch.randn(2, 3, size, size)


def test_each_class_has_a_case():
    served = {name.split(":")[1] for name in _CHAINS}
    assert served == {type(build(case)[0]).__name__ for case in CASES}
    for name in _CHAINS:
        module, cls = name.split(":")
        assert hasattr(import_module(module), cls)


@pytest.mark.parametrize("case", CASES)
def test_the_rest_gives_the_logits_of_a_whole_pass(case):
    model, images = build(case)
    logits = model(images)
    for adapter in {TimmAdapter, type(find_adapter(model, None, get_plugins(), "student"))}:
        whole = adapter().forward(model, images, (1, 2, 3, 4), True)
        for stage, feature in whole.features.items():
            given = feature.map.clone().requires_grad_()
            prefix = None if feature.prefix is None else feature.prefix.clone().requires_grad_()
            output = adapter().tail(model, stage)(FeatureMap(given, prefix), embedding=True)
            assert torch.equal(output.logits, logits), stage
            assert torch.equal(output.embedding, whole.embedding), stage
            assert torch.equal(given, feature.map), "the map is not changed in place"
            inputs = [given] if prefix is None else [given, prefix]
            later = [number for number in whole.features if number > stage]
            maps = adapter().tail(model, stage)(FeatureMap(given, prefix), stages=later).features
            assert list(maps) == later
            for number in later:
                assert torch.equal(maps[number].map, whole.features[number].map), (stage, number)
                own = whole.features[number].prefix
                assert own is None or torch.equal(maps[number].prefix, own)
            gradients = torch.autograd.grad(output.logits.square().sum(), inputs)
            assert any(gradient.any() for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["nfnet_f0", "xcit_nano_12_p16_224", "vit_relpos_small_patch16_224"])
def test_other_classes_are_refused_with_a_reason(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    info = model_info("net", model, TimmAdapter(), (224, 224), 3)
    with pytest.raises(UserError, match=r"net: .*no rest of the model from stage 3 on: the layers of"):
        info.tail(3)


def test_only_later_stages_have_maps():
    model, _ = build("ResNet")
    tail = TimmAdapter().tail(model, 3)
    with pytest.raises(ValueError, match="stage 2 is not among the later ones, 4"):
        tail(torch.zeros(1, 256, 2, 2), stages=(2,))
    assert not any(one._forward_hooks for one in model.modules())


def test_a_path_and_a_model_without_stages_are_refused():
    model, _ = build("ResNet")
    with pytest.raises(UserError, match="begins at a stage 1, 2, 3 or 4, not at 'layer3'"):
        model_info("net", model, TimmAdapter(), (32, 32), 3).tail("layer3")
    with pytest.raises(UserError, match="adapter PlainAdapter cannot run the layers after stage 4 alone"):
        model_info("net", model, PlainAdapter(), (32, 32), 3).tail(4)


def test_a_subclass_that_computes_in_another_way_is_refused():
    class Other(type(build("ResNet")[0])):
        def forward_features(self, images):
            return super().forward_features(images) * 2

    model = copy.deepcopy(build("ResNet")[0])
    model.__class__ = Other
    with pytest.raises(UserError, match="the layers of Other cannot be run from a stage on"):
        TimmAdapter().tail(model, 2)


def test_an_adapter_with_its_own_maps_has_to_name_their_place():
    class Own(TimmAdapter):
        def backbone(self, model, images, stages):
            return super().backbone(model, images, stages)

    with pytest.raises(UserError, match="Own does not name the module after which stage 4 is taken"):
        Own().tail(build("ResNet")[0], 4)


def test_a_transformer_wants_its_tokens():
    model, images = build("VisionTransformer with registers")
    feature = TimmAdapter().forward(model, images, (3,), False).features[3]
    with pytest.raises(ValueError, match="has 3 class and register tokens, and the feature map has 0"):
        TimmAdapter().tail(model, 3)(feature.map)


def test_a_frozen_rest_stays_in_evaluation_mode_and_a_live_one_follows_the_model():
    frozen, images = build("ResNet")
    tail = TimmAdapter().tail(frozen, 2)
    nn.Sequential(tail).train()
    assert not any(module.training for module in tail.modules())
    assert not any(module.training for module in frozen.modules())
    live = copy.deepcopy(frozen).requires_grad_(True).train()
    live.drop_rate = 0.5
    rest = TimmAdapter().tail(live, 2)
    feature = TimmAdapter().forward(frozen, images, (2,), False).features[2]
    assert not torch.equal(rest(feature).logits, rest(feature).logits), "dropout"
    live.eval()
    assert torch.equal(rest(feature).logits, rest(feature).logits)
    rest(feature).logits.sum().backward()
    assert live.layer4[0].conv1.weight.grad is not None
    assert live.layer1[0].conv1.weight.grad is None


def test_it_shares_the_modules_and_leaves_the_beginning_out():
    model, _ = build("VisionTransformer")
    tail = TimmAdapter().tail(model, 3)
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in tail.parameters()} < own
    assert not any("pos_embed" in name or "blocks.0" in name for name in tail.state_dict())
    assert isinstance(copy.deepcopy(tail), Tail)


class Through(nn.Module):
    """The teacher's rests on the teacher's own maps."""

    requires = Requires(teacher_stages=(1, 4))
    tails: tuple[Tail, ...] = ()

    def forward(self, student, teacher, batch, progress):
        maps = teacher.features.values()
        given = [tail(feature).logits for tail, feature in zip(self.tails, maps, strict=True)]
        apart = [(logits - teacher.logits).abs().max() for logits in given]
        return {"apart": torch.stack(apart).max() + 0 * student.logits.mean()}


@pytest.mark.parametrize("case", ["ResNet", "EfficientNet"])
def test_after_folding_the_teachers_norms_the_rest_is_still_the_same(case):
    teacher, images = build(case)
    student = timm.create_model("resnet10t", channels=(4, 4, 8, 8), num_classes=5)
    through = Through()
    distillation = Distillation(
        student, copy.deepcopy(teacher), through, num_classes=5, image_size=32, task_weight=0.0
    )
    frozen = distillation.teacher_passes["teacher"]
    through.tails = (frozen.info.tail(1), frozen.info.tail(4))
    assert distillation(images).terms["apart"] == 0
    assert frozen.fold() > 0
    assert distillation(images).terms["apart"] == 0
    assert not any("running_mean" in name for tail in through.tails for name in tail.state_dict())
