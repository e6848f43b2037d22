from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from kdcore import FeatureMap, GivesMaps, ModelOutput, PreparesModel, UserError
from kdcore.features import Extractor, PlainAdapter, TimmAdapter


def test_numbers_paths_and_embedding_in_one_pass(build, images):
    model, given = build("resnet10t"), images(32)
    calls = []
    handle = model.conv1.register_forward_hook(lambda *args: calls.append(1))
    extractor = Extractor(model, TimmAdapter(), (4, "layer2.0.conv1", 1, "global_pool"), embedding=True)
    with torch.no_grad():
        output = extractor(given)
    handle.remove()
    extractor.close()
    assert len(calls) == 1
    assert set(output.features) == {4, 1, "layer2.0.conv1", "global_pool"}
    assert output.features["layer2.0.conv1"].map.shape == (2, 128, 4, 4)
    assert output.features["global_pool"].map.shape == (2, 512, 1, 1)
    assert torch.equal(output.features["global_pool"].map.flatten(1), output.embedding)
    with torch.no_grad():
        assert torch.equal(output.logits, model(given))


def test_a_path_gives_what_its_number_gives(build, images):
    model, given = build("test_vit"), images(32)
    extractor = Extractor(model, TimmAdapter(), (2, "blocks.1"))
    with torch.no_grad():
        features = extractor(given).features
    extractor.close()
    assert torch.equal(features[2].map, features["blocks.1"].map)
    assert torch.equal(features[2].prefix, features["blocks.1"].prefix)


def test_channels_last_networks(build, images):
    model, given = build("swin_tiny_patch4_window7_224"), images(64)
    extractor = Extractor(model, TimmAdapter(), (3, "layers.2", "patch_embed"))
    with torch.no_grad():
        features = extractor(given).features
    extractor.close()
    assert torch.equal(features[3].map, features["layers.2"].map)
    assert features["patch_embed"].map.shape == (2, 96, 16, 16)


def test_logits_only_is_a_plain_call():
    calls = []

    class Adapter:
        def stages(self, model, image_size):
            raise AssertionError

        def forward(self, model, images, stages, embedding):
            calls.append(1)
            return ModelOutput(model(images))

    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    given = torch.ones(1, 3, 2, 2)
    assert torch.equal(Extractor(model, Adapter(), (), False)(given).logits, model(given))
    assert calls == []


def test_closing_takes_the_hooks_away(build, images):
    model, given = build("resnet10t"), images(32)
    extractor = Extractor(model, TimmAdapter(), ("layer1",))
    assert len(model.layer1._forward_hooks) == 1
    extractor.close()
    assert len(model.layer1._forward_hooks) == 0
    with pytest.raises(UserError, match="'layer1' of ResNet did not run"):
        extractor(given)


def test_keeps_nothing_between_passes(build, images):
    model, given = build("resnet10t"), images(32)
    extractor = Extractor(model, TimmAdapter(), ("layer1",))
    extractor(given)
    model(given)
    assert all(tap.output is None for tap in extractor._taps.values())
    extractor.close()


def test_a_copy_of_the_model_is_not_tapped(build, images):
    model, given = build("resnet10t"), images(32)
    extractor = Extractor(model, TimmAdapter(), ("layer1",))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.layer1[0].conv1.weight.zero_()
        twin.layer1[0].bn2.weight.fill_(3.0)
        other = Extractor(twin, TimmAdapter(), ("layer1",))(given).features["layer1"].map
        own = extractor(given).features["layer1"].map
    extractor.close()
    assert not torch.equal(own, other)


def test_an_error_in_a_pass_leaves_it_usable(build, images):
    model = build("resnet10t")
    extractor = Extractor(model, TimmAdapter(), ("layer1",))
    with pytest.raises(RuntimeError):
        extractor(torch.zeros(2, 5, 32, 32))
    assert extractor(images(32)).features["layer1"].map.shape == (2, 64, 8, 8)
    extractor.close()


def test_gradients_flow_through_paths(build, images):
    model = copy.deepcopy(build("resnet10t"))
    extractor = Extractor(model, TimmAdapter(), ("layer1",))
    extractor(images(32)).features["layer1"].map.sum().backward()
    assert model.layer1[0].conv1.weight.grad is not None
    assert model.layer2[0].conv1.weight.grad is None


def test_compiles_with_paths(build, images):
    model, given = copy.deepcopy(build("resnet10t")), images(32)
    extractor = Extractor(model, TimmAdapter(), (4, "layer1.0"), True)
    torch._dynamo.reset()
    compiled = torch.compile(extractor, backend="eager", fullgraph=True)
    for _ in range(2):
        output = compiled(given)
    plain = extractor(given)
    assert torch.equal(output.features["layer1.0"].map, plain.features["layer1.0"].map)
    assert torch.equal(output.embedding, plain.embedding)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("path", "near"),
    [("layer5", "layer"), ("layer3.0.conv7", "layer3.0.conv"), ("qqqqqqqq", None), ("", None)],
)
def test_unknown_paths(build, path, near):
    with pytest.raises(UserError) as caught:
        Extractor(build("resnet10t"), TimmAdapter(), (path or "",))
    problem = caught.value.problems[0]
    assert f"ResNet has no module '{path}'" in problem.message
    if near is None:
        assert problem.nearest is None
        assert "layer4" in problem.allowed
    else:
        assert problem.nearest.startswith(near)


def test_a_module_that_does_not_run():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Linear(12, 2)
            self.spare = nn.Linear(12, 2)

        def forward(self, images):
            return self.used(images.flatten(1))

    with pytest.raises(UserError, match="module 'spare' of Net did not run"):
        Extractor(Net(), PlainAdapter(), ("spare",))(torch.ones(1, 3, 2, 2))


def test_a_module_that_gives_no_map(build, images):
    extractor = Extractor(build("swin_tiny_patch4_window7_224"), TimmAdapter(), ("layers.0.blocks.0.attn",))
    with pytest.raises(
        UserError, match=r"'layers.0.blocks.0.attn' of SwinTransformer cannot be a stage: its output"
    ):
        extractor(images(64))
    extractor.close()


def test_several_outputs_are_refused():
    class Two(nn.Module):
        def forward(self, images):
            return images, images

    with pytest.raises(UserError, match="Two returns several outputs"):
        Extractor(Two(), PlainAdapter())(torch.ones(1, 3, 2, 2))


class Required:
    """An adapter with the two methods that every adapter has."""

    def stages(self, model, image_size):
        return ()

    def forward(self, model, images, stages, embedding):
        features = {stage: FeatureMap(images) for stage in stages}
        return ModelOutput(model(images), features, images.flatten(1) if embedding else None)


class WithOptional(Required):
    """One with both optional methods; it inherits from no protocol."""

    def __init__(self):
        self.prepared = []

    def prepare(self, model):
        self.prepared.append(model)

    def maps(self, model, images, stages):
        return {stage: FeatureMap(images + 1) for stage in stages}


def test_optional_methods_are_found_by_their_protocol():
    assert isinstance(WithOptional(), GivesMaps)
    assert isinstance(WithOptional(), PreparesModel)
    assert isinstance(TimmAdapter(), GivesMaps)
    assert isinstance(TimmAdapter(), PreparesModel)
    assert not isinstance(Required(), GivesMaps | PreparesModel)


@pytest.mark.parametrize(
    ("stages", "embedding", "prepared", "has_maps"),
    [
        ((), False, False, False),
        ((2,), False, True, True),
        ((2,), True, True, False),
        ((), True, True, False),
        ((2, "1"), False, True, False),
    ],
)
def test_optional_methods_are_used_if_they_serve(stages, embedding, prepared, has_maps):
    model, adapter = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), WithOptional()
    extractor = Extractor(model, adapter, stages, embedding)
    assert adapter.prepared == ([model] if prepared else [])
    assert extractor.has_maps is has_maps
    if has_maps:
        output = extractor.maps(torch.ones(1, 3, 2, 2))
        assert output.logits is None
        assert output.features[2].map.unique().tolist() == [2.0]
    assert Extractor(model, Required(), stages, embedding).has_maps is False
