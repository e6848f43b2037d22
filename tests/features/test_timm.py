from __future__ import annotations

import copy
import gc
import weakref
from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn

from kdcore import FeatureAdapter, UserError
from kdcore.features import Extractor, TimmAdapter
from kdcore.features.timm import _pooled, is_timm_model

STAGES = (1, 2, 3, 4)


def test_is_an_adapter():
    assert isinstance(TimmAdapter(), FeatureAdapter)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_logits_are_the_models_own(model_case, training):
    model, images = model_case
    state = copy.deepcopy(model.state_dict())
    model.train(training)
    try:
        with torch.no_grad():
            torch.manual_seed(5)
            output = TimmAdapter().forward(model, images, STAGES, True)
            model.load_state_dict(state)  # batch norm's statistics moved
            torch.manual_seed(5)
            expected = model(images)
    finally:
        model.load_state_dict(state)
        model.eval()
    assert torch.equal(output.logits, expected)
    assert torch.isfinite(expected).all()


@pytest.mark.parametrize("stages", [(1,), (3, 2)], ids=str)
def test_maps_alone_are_those_of_a_whole_pass(model_case, stages):
    model, images = model_case
    with torch.no_grad():
        whole = TimmAdapter().forward(model, images, stages, False).features
        alone = TimmAdapter().maps(model, images, stages)
    assert list(alone) == list(stages)
    for stage in stages:
        assert torch.equal(alone[stage].map, whole[stage].map)
        assert (alone[stage].prefix is None) == (whole[stage].prefix is None)


def test_maps_do_not_run_what_lies_behind():
    model = timm.create_model("test_resnet").eval()
    ran = []
    for name in ("layer1", "layer2", "layer4", "fc"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    TimmAdapter().maps(model, torch.randn(1, 3, 64, 64), (2,))
    assert ran == ["layer1", "layer2"]


def test_shapes_are_as_announced(model_case):
    model, images = model_case
    size = (images.shape[2], images.shape[3])
    announced = TimmAdapter().stages(model, size)
    with torch.no_grad():
        output = TimmAdapter().forward(model, images, STAGES, True)
    assert [info.stage for info in announced] == [1, 2, 3, 4]
    for info in announced:
        feature = output.features[info.stage]
        assert feature.map.shape == (2, info.channels, *info.grid)
        if info.prefix_tokens:
            assert feature.prefix.shape == (2, info.prefix_tokens, info.channels)
        else:
            assert feature.prefix is None
    cells = [info.grid[0] * info.grid[1] for info in announced]
    assert cells == sorted(cells, reverse=True)
    assert output.embedding.dim() == 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {}),
        ("test_vit", {}),
        # these stop after the deepest map that is wanted, unless they are told not to
        ("hiera_tiny_224", {"img_size": 64, "embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)}),
        (
            "sam2_hiera_tiny",
            {"embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1), "global_att_blocks": ()},
        ),
    ],
)
def test_a_shallow_stage_alone_leaves_logits_and_embedding_as_they_are(name, options):
    model = timm.create_model(name, num_classes=5, **options).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole, shallow = (TimmAdapter().forward(model, images, stages, True) for stages in (STAGES, (1,)))
        assert torch.equal(shallow.logits, model(images))
    assert torch.equal(shallow.embedding, whole.embedding)
    assert torch.equal(shallow.features[1].map, whole.features[1].map)


def test_gradients_reach_every_parameter(model_case):
    model, images = model_case
    output = TimmAdapter().forward(model, images, STAGES, True)
    loss = output.logits.square().mean() + sum(f.map.square().mean() for f in output.features.values())
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet10t", "fc"),
        ("mobilenetv3_small_050", "classifier"),
        ("test_vit", "head"),
        ("deit_tiny_distilled_patch16_224", "head"),
        ("levit_128s", "head"),
        ("dla46_c", "fc"),
        ("repvit_m0_9", "head.head"),
        ("poolformer_s12", "head.fc"),
    ],
)
def test_embedding_is_what_enters_the_classifier(build, images, name, path):
    """Against a hook on the classifier, in training mode, where dropout makes each pass another."""
    model, given = build(name), images(64 if name == "levit_128s" else 32)
    state = copy.deepcopy(model.state_dict())
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.train()
    try:
        with torch.no_grad():
            torch.manual_seed(3)
            model(given)
            model.load_state_dict(state)
            handle.remove()
            torch.manual_seed(3)
            output = TimmAdapter().forward(model, given, (), True)
    finally:
        handle.remove()
        model.load_state_dict(state)
        model.eval()
    assert torch.equal(output.embedding, seen[0].flatten(1))


def test_embedding_where_there_is_no_single_classifier(build, images):
    model, given = build("crossvit_9_240"), images(120)
    with torch.no_grad():
        output = TimmAdapter().forward(model, given, (), True)
        expected = model.forward_head(model.forward_features(given), pre_logits=True)
    assert torch.equal(output.embedding, expected)


def _outputs(model: nn.Module, paths: list[str], given: torch.Tensor) -> list[torch.Tensor]:
    kept: dict[str, torch.Tensor] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            lambda module, args, out, path=path: kept.update({path: out.clone()})
        )
        for path in paths
    ]
    with torch.no_grad():
        model(given)
    for handle in handles:
        handle.remove()
    return [kept[path] for path in paths]


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("resnet10t", [f"layer{i}" for i in (1, 2, 3, 4)]),
        ("test_convnext", [f"stages.{i}" for i in range(4)]),
        ("mobilenetv2_035", ["blocks.1", "blocks.2", "blocks.4", "blocks.6"]),
    ],
)
def test_stages_of_pyramids(build, images, name, paths):
    model, given = build(name), images(32)
    with torch.no_grad():
        features = TimmAdapter().forward(model, given, STAGES, False).features
    for stage, expected in zip(STAGES, _outputs(model, paths, given), strict=True):
        assert torch.equal(features[stage].map, expected)


@pytest.mark.parametrize("name", ["test_vit", "deit_tiny_distilled_patch16_224"])
def test_stages_and_prefix_tokens_of_transformers(build, images, name):
    model, given = build(name), images(32)
    with torch.no_grad():
        features = TimmAdapter().forward(model, given, STAGES, False).features
    prefix = model.num_prefix_tokens
    assert prefix >= 1
    expected = _outputs(model, [f"blocks.{block}" for block in (0, 1, 4, 5)], given)
    for stage, tokens in zip(STAGES, expected, strict=True):
        assert torch.equal(features[stage].prefix, tokens[:, :prefix])
        # row by row: the token of cell (1, 2) on a 4x4 grid is the sixth
        assert torch.equal(features[stage].map[:, :, 1, 2], tokens[:, prefix + 6])


def test_stages_keep_their_depth_with_a_stride_1_stem(images):
    model = timm.create_model("resnet10t", num_classes=10).eval()
    model.conv1[0].stride = (1, 1)
    model.maxpool = nn.Identity()
    assert [info.grid for info in TimmAdapter().stages(model, (32, 32))] == [
        (32, 32),
        (16, 16),
        (8, 8),
        (4, 4),
    ]
    given = images(32)
    with torch.no_grad():
        features = TimmAdapter().forward(model, given, (1,), False).features
    assert torch.equal(features[1].map, _outputs(model, ["layer1"], given)[0])


def test_logits_alone_are_a_plain_call(build, images):
    model, given = build("resnet10t"), images(32)
    output = TimmAdapter().forward(model, given, (), False)
    assert torch.equal(output.logits, model(given))
    assert output.features == {}
    assert output.embedding is None


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "deit_tiny_distilled_patch16_224", "dla46_c"])
def test_compiles_without_a_break(build, images, name):
    model, given = copy.deepcopy(build(name)).train(), images(32)
    state = copy.deepcopy(model.state_dict())
    torch._dynamo.reset()
    compiled = torch.compile(Extractor(model, TimmAdapter(), STAGES, True), backend="eager", fullgraph=True)
    torch.manual_seed(4)
    output = compiled(given)
    model.load_state_dict(state)
    torch.manual_seed(4)
    plain = Extractor(model, TimmAdapter(), STAGES, True)(given)
    assert torch.equal(output.logits, plain.logits)
    assert torch.equal(output.embedding, plain.embedding)
    assert all(torch.equal(output.features[stage].map, plain.features[stage].map) for stage in STAGES)
    torch._dynamo.reset()


def test_compiles_unprepared(build, images):
    model, given = copy.deepcopy(build("resnet10t")), images(32)
    torch._dynamo.reset()
    adapter = TimmAdapter()
    compiled = torch.compile(
        lambda batch: adapter.forward(model, batch, (2,), True), backend="eager", fullgraph=True
    )
    assert torch.equal(compiled(given).logits, model(given))
    torch._dynamo.reset()


def test_autocast_and_channels_last(build, images):
    model, given = copy.deepcopy(build("resnet10t")), images(32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = TimmAdapter().forward(model, given, STAGES, True)
        assert torch.equal(output.logits, model(given))
    model, given = model.to(memory_format=torch.channels_last), given.to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(TimmAdapter().forward(model, given, STAGES, True).logits, model(given))


def test_choices_are_made_once_and_go_with_the_model(images):
    class Counting(TimmAdapter):
        calls = 0

        def indices(self, model):
            Counting.calls += 1
            return super().indices(model)

    model, given = timm.create_model("resnet10t", num_classes=10), images(32)
    for _ in range(2):
        Counting().forward(model, given, (4,), False)
    assert Counting.calls == 1
    Counting().forward(copy.deepcopy(model), given, (4,), False)
    assert Counting.calls == 2
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_an_adapter_may_choose_other_maps(build, images):
    class First(TimmAdapter):
        def indices(self, model):
            return 0, 0, 0, 0

    model, given = build("resnet10t"), images(32)
    TimmAdapter().forward(model, given, (4,), False)
    assert First().forward(model, given, (4,), False).features[4].map.shape == (2, 64, 16, 16)


def test_leaves_nothing_behind(build, images):
    model, given = build("test_vit"), images(32)
    TimmAdapter().stages(model, (32, 32))
    TimmAdapter().forward(model, given, STAGES, True)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not model.training


def test_wrong_input_size(build):
    with pytest.raises(UserError, match=r"cannot take images of 48x48 pixels .*Input height \(48\)"):
        TimmAdapter().stages(build("deit_tiny_distilled_patch16_224"), (48, 48))


@pytest.mark.parametrize(("name", "embedding"), [("qwen3_vit_88m_enc", 768), ("mobilenetv5_300m_enc", 2048)])
def test_an_encoder_gives_its_stages_and_the_mean_of_its_last_map(name, embedding):
    with torch.device("meta"):
        encoder = timm.create_model(name, num_classes=10)
        images = torch.empty(2, *encoder.pretrained_cfg["input_size"])
    output = TimmAdapter().forward(encoder, images, (4,), True)
    assert output.embedding.shape == (2, embedding)
    assert output.features[4].map.dim() == 4
    assert len(TimmAdapter().stages(encoder, images.shape[-2:])) == 4


def test_the_mean_of_a_map_is_that_over_its_places(build):
    final, net = torch.randn(2, 3, 4, 5), SimpleNamespace(num_features=5)
    torch.testing.assert_close(_pooled(net, final), final.mean((1, 2)))
    torch.testing.assert_close(_pooled(net, final[:, 0]), final[:, 0].mean(1))
    net.num_features = 3
    torch.testing.assert_close(_pooled(net, final), final.mean((2, 3)))


def test_other_models_are_told_apart(build):
    assert is_timm_model(build("resnet10t"))
    assert not is_timm_model(nn.Linear(2, 2))
