"""What the options do, and what is refused."""

from __future__ import annotations

import sys

import pytest
import torch
from kd_prune.choose import Layer, counts
from kd_prune.layers import classifiers
from kd_prune.options import PruneOptions
from kd_prune.prune import Prune
from pydantic import ValidationError
from torch import nn

from kdcore import UserError
from kdcore.inspect import cost

SHAPE = (1, 3, 64, 64)


@pytest.fixture
def only(prune):
    """The only problem of a pruning."""

    def call(model, **options):
        with pytest.raises(UserError) as caught:
            prune(model, **options)
        (problem,) = caught.value.problems
        return problem

    return call


def layer(*scores, blocks=1):
    return Layer("a", None, blocks, torch.tensor(scores))


# -- which channels, without Torch-Pruning ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "blocks", "share", "round_to", "lost"),
    [
        (64, 1, 0.5, 8, 32),
        (24, 1, 0.5, 8, 8),  # 16 stay: 12 is as close to 8
        (24, 1, 0.5, 1, 12),
        (6, 1, 0.5, 8, 3),  # the layer has no 8 channels
        (16, 1, 0.9, 8, 8),  # a layer keeps one multiple at least
        (8, 3, 0.5, 8, 0),  # of 3 blocks, each has a multiple of 8
        (8, 4, 0.5, 8, 4),
    ],
)
def test_the_number_of_channels_is_a_multiple(channels, blocks, share, round_to, lost):
    options = PruneOptions(round_to=round_to)
    assert counts([layer(*range(channels), blocks=blocks)], options, share) == [lost]


def test_the_least_important_channels_of_each_block_are_removed():
    assert layer(3.0, 1.0, 2.0, 0.5, blocks=2).removed(2) == [1, 3, 5, 7]


def test_global_compares_the_channels_of_all_layers():
    options = PruneOptions(spread="global", round_to=1, most=0.75)
    layers = [layer(0.1, 0.2, 0.3, 0.4), layer(1.0, 2.0, 3.0, 0.25)]
    assert counts(layers, options, 0.5) == [3, 1]
    assert counts(layers, options, 0.75) == [3, 3]
    with pytest.raises(UserError, match=r"with 'most' 0\.75, 6 of the 8 channels can be removed") as caught:
        counts(layers, options, 0.9)
    (problem,) = caught.value.problems
    assert (problem.where, problem.allowed) == ("share", "up to 0.75")


def test_no_layer_loses_more_than_most_after_rounding():
    options = PruneOptions(spread="global", round_to=8, most=0.1)
    twenty = layer(*map(float, range(20)))
    assert counts([twenty], options, 0.1) == [0]  # 18 stay; 16 would be fewer, and 24 are not there
    assert counts([layer(*map(float, range(40)))], options, 0.1) == [0]  # 36 stay; 32 would be fewer
    assert counts([layer(*map(float, range(80)))], options, 0.1) == [8]


def test_most_is_for_global():
    with pytest.raises(ValidationError, match="'most' is for 'spread' global"):
        PruneOptions(most=0.5)


def test_a_layer_that_would_vanish_is_named():
    with pytest.raises(UserError, match="layer 'a' has 4 channels, and none would be left"):
        counts([layer(1.0, 2.0, 3.0, 4.0)], PruneOptions(), 0.8)


# -- with it ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pruning():
    pytest.importorskip("torch_pruning", reason="needs kd-prune[torch-pruning]")


@pytest.mark.parametrize("importance", ["magnitude", "bn-scale", "lamp", "random"])
def test_every_importance_is_deterministic(importance, build, prune, pruning):
    first, again = (prune(build(), importance=importance) for _ in range(2))
    assert first.record == again.record
    if importance == "random":
        assert prune(build(), importance=importance, seed=1).record != first.record


def test_half_of_the_multiply_adds(build, prune, pruning):
    whole, done = build(), prune(build(), of="macs", round_to=1)
    assert 0.45 < cost(done.model, SHAPE).macs / cost(whole, SHAPE).macs <= 0.5
    (note,) = done.notes
    before, after = (sum(value.numel() for value in one.parameters()) for one in (whole, done.model))
    assert f"from {before:,} to {after:,} parameters" in note
    assert "multiply-adds" in note


def test_what_is_kept_keeps_its_channels(build, prune, pruning):
    pruned = prune(build(), keep=["layer2.0.conv1"]).model
    assert (pruned.layer2[0].conv1.out_channels, pruned.layer3[0].conv1.out_channels) == (16, 16)


def test_initial_weights_are_a_warning(build, prune, pruning):
    assert "initial values" in prune(build(), random_weights=True).warnings[0]
    assert prune(build(), random_weights=True, importance="random").warnings == ()


def test_the_model_itself_and_its_modes_stay(build, prune, pruning):
    model = build().train()
    model.layer1.eval()
    pruned = prune(model).model
    assert model.conv1[0].out_channels == build().conv1[0].out_channels
    assert (pruned.training, pruned.layer1.training, pruned.layer2.training) == (True, False, True)


def test_refusals(build, only, pruning):
    vanishes = only(build(), share=0.97)
    assert (vanishes.where, vanishes.allowed) == ("share", "below 0.917")
    path = only(build(), keep=["layr1"])
    assert (path.where, path.nearest) == ("keep[0]", "layer1")
    nothing = only(build(), round_to=256, share=0.01)
    assert "nothing would be removed" in nothing.message
    most = only(build(), of="parameters", share=0.999)
    assert most.message.startswith("the model can lose 8")


def test_no_batch_norm_for_bn_scale(only, pruning):
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    )
    problem = only(net, importance="bn-scale")
    assert (problem.where, problem.allowed) == ("importance", "magnitude, lamp, random")


def test_a_model_that_is_not_timms_keeps_its_logits(prune, pruning):
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    )
    pruned = prune(net).model
    assert (pruned[0].out_channels, pruned[4].in_features, pruned[4].out_features) == (8, 8, 5)


class Tied(nn.Module):
    """Two convolutions with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3)
        self.c.weight = self.b.weight
        self.hidden, self.out = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, images):
        found = self.c(self.b(self.a(images).relu()).relu()).relu().mean((2, 3))
        return self.out(self.hidden(found).relu())


def test_a_tensor_of_two_layers_stays_one_or_is_refused(only, prune, pruning):
    problem = only(Tied())
    assert "'b.weight' and 'c.weight' are one tensor" in problem.message
    assert "'keep'" in problem.hint
    pruned = prune(Tied(), keep=["a", "b", "c"]).model
    assert (pruned.b.out_channels, pruned.hidden.out_features) == (16, 8)
    assert pruned.b.weight is pruned.c.weight


class Encoder(nn.Module):
    """A layer whose output is freed before that of the network is computed, which may get its memory."""

    def __init__(self, steps):
        super().__init__()
        self.conv, self.steps = nn.Conv2d(3, 3, 1), steps

    def forward(self, images):
        images = self.conv(images)
        for _ in range(self.steps):
            images = images + 1
        return images


@pytest.mark.parametrize("steps", [2, 3])
def test_an_output_in_freed_memory_is_not_that_of_a_layer(steps):
    assert classifiers(Encoder(steps).eval(), torch.zeros(SHAPE)) == []
    own = Encoder(0).eval()
    assert classifiers(own, torch.zeros(SHAPE)) == [own.conv]


def test_without_torch_pruning_the_command_that_installs_it(build, setup_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError) as caught:
        Prune(PruneOptions()).apply(build(), setup_of())
    (problem,) = caught.value.problems
    assert "kd-prune[torch-pruning]" in problem.hint or "torch-pruning" in problem.hint
