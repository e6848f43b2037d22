"""Stages that are inputs of modules and weights of attentions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from kdcore import Requires, UserError
from kdcore.features import Extractor, PlainAdapter, TimmAdapter, model_info
from kdcore.features.references import parse_stage


def features_of(model, given, *stages, grad=False):
    extractor = Extractor(model, PlainAdapter(), stages)
    with torch.set_grad_enabled(grad):
        found = extractor(given).features
    extractor.close()
    return found


def test_how_text_is_read():
    assert (parse_stage("a.b").kind, parse_stage("a.b").path) == ("output", "a.b")
    assert (parse_stage("a.b:in").kind, parse_stage("a.b:in").path) == ("input", "a.b")
    assert (parse_stage("attention:a.b").kind, parse_stage("attention:a.b").path) == ("attention", "a.b")


def test_the_input_of_an_activation_that_works_in_place(build, images):
    model, given = copy.deepcopy(build("resnet10t")).eval(), images(32)
    plain = copy.deepcopy(model)
    for module in plain.modules():  # an independent reference: the same network without in-place operations
        if isinstance(module, nn.ReLU):
            module.inplace = False
    seen = {}
    plain.layer2[0].act2.register_forward_pre_hook(lambda module, args: seen.update(before=args[0]))
    plain.layer2[0].act2.register_forward_hook(lambda module, args, output: seen.update(after=output))
    with torch.no_grad():
        plain(given)
    found = features_of(model, given, "layer2.0.act2:in", "layer2.0.act2")
    assert torch.equal(found["layer2.0.act2:in"].map, seen["before"])
    assert (found["layer2.0.act2:in"].map < 0).any()
    assert torch.equal(found["layer2.0.act2"].map, seen["after"])


def test_a_deep_copy_of_a_model_has_its_own_input_hooks(build, images):
    model, given = copy.deepcopy(build("resnet10t")).eval(), images(32)
    extractor = Extractor(model, TimmAdapter(), ["layer2.0.act2:in"])
    twin = copy.deepcopy(extractor)
    with torch.no_grad():
        both = [one(given).features["layer2.0.act2:in"].map for one in (extractor, twin)]
    assert torch.equal(*both)
    twin.close()
    extractor.close()


def test_the_input_of_a_block_of_tokens_has_its_prefix_apart(build, images):
    model, given = copy.deepcopy(build("test_vit")).eval(), images(32)
    found = features_of(model, given, "blocks.1:in", "blocks.0")
    assert torch.equal(found["blocks.1:in"].map, found["blocks.0"].map)
    assert torch.equal(found["blocks.1:in"].prefix, found["blocks.0"].prefix)


def test_an_input_that_is_given_by_its_name():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, images):
            return self.inner(input=images * 2).mean(dim=(2, 3))

    class Inner(nn.Module):
        def forward(self, *, input):
            return input

    net = Net()
    net.inner = Inner()
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(features_of(net, images, "inner:in")["inner:in"].map, images * 2)


def attention_by_hand(attention, x):
    """softmax(q k^T / sqrt(d)) with the norms of q and k, in plain operations."""
    batch, tokens = x.shape[:2]
    q, k, _ = attention.qkv(x).reshape(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = attention.q_norm(q), attention.k_norm(k)
    return torch.softmax((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5, dim=-1)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224"])
def test_the_weights_of_an_attention(build, images, name):
    model, given = copy.deepcopy(build(name)).eval(), images(32 if name == "test_vit" else 224)
    with torch.no_grad():
        fused = model(given)
    attention = model.blocks[1].attn
    assert attention.fused_attn
    inputs = {}
    attention.register_forward_pre_hook(lambda module, args: inputs.update(x=args[0].detach()))
    found = features_of(model, given, "attention:blocks.1.attn")["attention:blocks.1.attn"]
    assert found.prefix is None
    tokens = model.pos_embed.shape[1]
    assert found.map.shape == (2, attention.num_heads, tokens, tokens)
    torch.testing.assert_close(found.map, attention_by_hand(attention, inputs["x"]))
    torch.testing.assert_close(found.map.sum(dim=-1), torch.ones(found.map.shape[:3]))
    with torch.no_grad():
        torch.testing.assert_close(model(given), fused)


def test_gradients_reach_the_weights_of_the_attention(build, images):
    model = copy.deepcopy(build("test_vit")).eval()
    found = features_of(model, images(32), "attention:blocks.1.attn", grad=True)
    found["attention:blocks.1.attn"].map.square().sum().backward()
    assert model.blocks[1].attn.qkv.weight.grad.abs().sum() > 0
    assert model.blocks[0].mlp.fc1.weight.grad.abs().sum() > 0
    assert model.head.weight.grad is None


def test_shapes_before_training(build):
    info = model_info("student", build("test_vit"), TimmAdapter(), (32, 32), 3)
    attention = info.stage("attention:blocks.0.attn")
    tokens = 1 + (32 // build("test_vit").patch_embed.patch_size[0]) ** 2
    assert (attention.channels, attention.grid) == (
        build("test_vit").blocks[0].attn.num_heads,
        (tokens, tokens),
    )
    resnet = model_info("student", build("resnet10t"), TimmAdapter(), (32, 32), 3)
    assert resnet.stage("layer3.0.act2:in").grid == resnet.stage(3).grid


WRONG = {
    "no such module": ("resnet10t", "layer9:in", "has no module 'layer9'"),
    "no attention": ("resnet10t", "attention:layer1", "has no module 'attn_drop'"),
    "inside windows": (
        "swin_tiny_patch4_window7_224",
        "attention:layers.0.blocks.0.attn",
        "the attention of module 'layers.0.blocks.0.attn' of SwinTransformer cannot be a stage: its weights",
    ),
    "an input that is no map": ("resnet10t", "fc.weight:in", "has no module 'fc.weight'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused(build, images, case):
    name, stage, text = WRONG[case]
    with pytest.raises(UserError, match=text):
        features_of(build(name), images(64), stage)


def test_hooks_are_removed_if_one_stage_is_wrong(build):
    model = build("resnet10t")
    with pytest.raises(UserError):
        Extractor(model, PlainAdapter(), ("layer1", "layer2:in", "attention:layer1"))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_distiller_may_require_them():
    requires = Requires(student_stages=("blocks.1:in", "attention:blocks.1.attn"))
    assert requires.student_stages == ("blocks.1:in", "attention:blocks.1.attn")


@pytest.mark.parametrize("stage", ["blocks.1:in", "attention:blocks.1.attn"])
def test_a_deep_copy_reads_its_own_model(build, images, stage):
    model, given = copy.deepcopy(build("test_vit")).eval(), images(32)
    extractor = Extractor(model, PlainAdapter(), (stage,))
    twin = copy.deepcopy(extractor)
    with torch.no_grad():
        before = extractor(given).features[stage].map
        for parameter in model.parameters():
            parameter.mul_(1.5)
        assert torch.equal(twin(given).features[stage].map, before)
