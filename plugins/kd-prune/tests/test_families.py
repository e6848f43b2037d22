"""The families of the page on pruning: pruned, trained with features, built again; and those that are refused."""

from __future__ import annotations

import json

import pytest
import torch
from kd_prune.record import remove

from kdcore import UserError
from kdcore.inspect import find_adapter
from kdcore.plugin import get_plugins

FAMILIES = {
    "resnet10t": {},
    "mobilenetv2_050": {},
    "efficientnet_b0": {},
    "regnetx_002": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2},
}
pytest.importorskip("torch_pruning", reason="needs kd-prune[torch-pruning]")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_pruned_and_gives_features(name, build, prune):
    options = FAMILIES[name]
    whole, done = build(name, **options), prune(build(name, **options))
    before, after = (sum(value.numel() for value in one.parameters()) for one in (whole, done.model))
    assert 0.2 < after / before < 0.35
    adapter = find_adapter(done.model, None, get_plugins(), "student.adapter")
    stages, old = adapter.stages(done.model, (64, 64)), adapter.stages(whole, (64, 64))
    output = adapter.forward(done.model.train(), torch.randn(2, 3, 64, 64), (1, 2, 3, 4), True)
    assert output.logits.shape == (2, 5)
    for info, other in zip(stages, old, strict=True):
        assert info.channels == output.features[info.stage].map.shape[1] < other.channels
        assert info.channels % 8 == 0
    assert output.embedding.shape[1] == done.model.head_hidden_size == done.model.get_classifier().in_features
    output.logits.sum().backward()
    record = json.loads(json.dumps(done.record))
    again = remove(build(name, **options), record).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in build_state(done, again))


def build_state(done, again):
    """The tensors of the pruned model but the statistics of its norms, which the pass above changed."""
    state = done.model.state_dict()
    assert state.keys() == again.keys()
    for key, value in state.items():
        assert value.shape == again[key].shape
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            yield key, value


def test_an_attention_keeps_its_heads(build, prune):
    block = prune(build("vit_tiny_patch16_224", img_size=64, depth=2)).model.blocks[0].attn
    assert (block.num_heads, block.head_dim, block.attn_dim, block.scale) == (3, 32, 96, 32**-0.5)


def test_a_group_convolution_keeps_its_groups(build, prune):
    whole, pruned = build("regnetx_002"), prune(build("regnetx_002")).model
    groups = [[m.groups for m in one.modules() if isinstance(m, torch.nn.Conv2d)] for one in (whole, pruned)]
    assert groups[0] == groups[1]
    assert max(groups[0]) > 1


def test_swin_is_refused_with_the_cause(build, prune):
    swin = build("swin_tiny_patch4_window7_224", img_size=64, window_size=2, depths=(1, 1, 1, 1))
    with pytest.raises(UserError, match="Torch-Pruning cannot prune this model: RuntimeError") as caught:
        prune(swin)
    assert "docs/prune.md" in caught.value.problems[0].hint
