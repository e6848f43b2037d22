"""Each check of an adapter fails for the one that breaks its rule, and all others pass; good ones pass all."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from kd_dev.testing import ConformanceError, adapter_checks, check_adapter
from kd_dev.testing.adapters import RULES
from torch import nn

from kdcore import TimmAdapter, UserError

# by check: the class (or the declared name) that breaks it, and what the message says
BREAKS = {
    "declaration": (
        "absent-net",
        "the model class kd_broken.adapters:Absent cannot be loaded: .* does not have 'Absent'",
    ),
    "serves": ("BareLogits", "TypeError: forward returned Tensor, not kdcore.ModelOutput"),
    "logits_equal_model": (
        "NoDropout",
        r"in training mode, with stages \[\], the logits \[2, 7\] differ .* by \d",
    ),
    "one_pass": ("WorksTwice", r"it needs [\d,]+ floating-point operations, model\(images\) [\d,]+"),
    "autocast": ("FullPrecision", "the logits are torch.float32 instead of torch.bfloat16"),
    "stages_announced": (
        "WidthFirst",
        r"for images of 32x64, stage 1 has shape \[2, 6, 16, 32\], but \[2, 6, 32, 16\] is announced",
    ),
    "one_stage_alone": ("AllStages", r"if stage 1 is requested, it gives \[1, 2, 3, 4\]"),
    "embedding": (
        "Normalises",
        "the classifier computes different logits from the embedding: they differ by up to",
    ),
    "gradients": (
        "Detaches",
        r"no gradient reaches body.0.bias, body.0.weight \(of 12 parameters\)",
    ),
    "module_path": ("CallsForward", "body.0, body.1, body.2, body.3 did not run as module calls"),
    "without_memory": ("ReadsValues", "it raised RuntimeError: .*meta"),
    "tail": ("SkipsLayer", "the layers after stage 1: 'logits' is"),
    "no_hooks_left": ("LeavesHook", "fc._forward_hooks has 1 hooks instead of 0"),
    "no_patching": ("LeavesNote", r"the model itself changed: new attributes \['size_seen'\], missing \[\]"),
    "deepcopy": ("HoldsLock", "it raised TypeError: cannot pickle"),
    "several_models": ("KeepsFirst", "in turn with another model: 'logits' is"),
    "compile": ("BreaksGraph", "the model compiles as one graph, but not with the adapter"),
}


@pytest.fixture
def subject(broken):
    """A declared name, or a class."""
    return lambda name: name if name.islower() else getattr(broken("adapters"), name)


@pytest.fixture
def toy_net(broken):
    return broken("adapters").ToyNet


def test_every_rule_has_somebody_who_breaks_it():
    assert list(BREAKS) == [rule.id for rule in RULES]


@pytest.mark.parametrize("id", BREAKS)
def test_a_broken_rule_is_found_and_no_other(id, subject, toy_net, look):
    name, message = BREAKS[id]
    found = look(adapter_checks(subject(name), models=[toy_net]))
    assert set(found.failed) == {id}, found.failed
    assert found.failed[id].startswith(f"{name}-ToyNet breaks the rule {id}: ")
    assert f"docs/conformance.md#{id}-adapter" in found.failed[id]
    assert re.search(message, found.failed[id]), found.failed[id]
    if id == "serves":
        assert all("'serves'" in reason or "given" in reason for reason in found.skipped.values())
    else:
        assert set(found.skipped) <= {"declaration", "tail"}


def test_good_ones_pass(subject, toy_net, look):
    found = look(adapter_checks("good-net", models=[(toy_net, (32, 48))]))
    assert (found.failed, set(found.skipped)) == ({}, {"tail"})
    found = look(adapter_checks("timm", models=[("test_vit", 160)]))
    assert (found.failed, found.skipped) == ({}, {})


def test_maps_that_are_no_dict_of_feature_maps_are_told(broken, toy_net, look):
    class Lists(broken("adapters").Good):
        def forward(self, model, images, stages, embedding):
            output = super().forward(model, images, stages, embedding)
            return replace(output, features=list(output.features.values()))

    (check,) = [check for check in adapter_checks(Lists, models=[toy_net]) if check.id == "serves"]
    said = "TypeError: forward returned list in features, not a dict of kdcore.FeatureMap by stage"
    assert said in look([check]).failed["serves"]


def test_a_plugins_model_is_found_by_name(subject, look):
    checks = adapter_checks("good-net", models=[("toy-net", 32)])
    assert str(checks[0]) == "good-net-toy-net-declaration"
    found = look(checks[:3])
    assert len(found.passed) == 3


def test_a_model_class_that_is_not_the_models_is_told(toy_net, look):
    found = look(adapter_checks("other-net", models=[toy_net])[:1])
    expected = r"the adapter of kd_broken.adapters:ToyNet is \w+; models contains torch.nn:Linear"
    assert re.search(expected, found.failed["declaration"])


class NoFeatures(nn.Sequential):
    """A model that the generic adapter knows nothing of."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))


def test_an_adapter_may_know_neither_stages_nor_embedding(look):
    from kdcore.features import PlainAdapter

    found = look(adapter_checks(PlainAdapter, models=[(NoFeatures, 8)]))
    assert found.failed == {}
    assert set(found.skipped) == {"declaration", "stages_announced", "one_stage_alone", "embedding", "tail"}


class Untraceable(nn.Sequential):
    """A model that torch.compile does not take as one graph."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))

    def forward(self, images):
        torch._dynamo.graph_break()
        return super().forward(images)


def test_a_model_that_does_not_compile_itself_is_left_out(look):
    from kdcore.features import PlainAdapter

    found = look(
        [check for check in adapter_checks(PlainAdapter, models=[(Untraceable, 8)]) if check.id == "compile"]
    )
    assert "-compile: the bare model breaks: " in found.skipped["compile"]


def test_all_at_once(subject, toy_net):
    with pytest.raises(ConformanceError) as caught:
        check_adapter(subject("AllStages"), models=[toy_net], expected_failures={"compile": "it may not"})
    assert [failure.check.id for failure in caught.value.failures] == ["one_stage_alone", "compile"]
    assert "expected to fail (it may not), but passes" in str(caught.value)


# -- models ------------------------------------------------------------------------------------------------------


def test_ids_tell_models_apart(toy_net):
    wide = partial(toy_net, width=8)
    checks = adapter_checks(TimmAdapter, models=["resnet18", ("resnet18", 64), ("resnet18", (32, 64)), wide])
    names = [str(check) for check in checks if check.id == "serves"]
    assert names == [
        "TimmAdapter-resnet18-serves",
        "TimmAdapter-resnet18-64x64-serves",
        "TimmAdapter-resnet18-32x64-serves",
        "TimmAdapter-ToyNet-serves",
    ]


@pytest.mark.parametrize("models", [[], "resnet18", [3]])
def test_wrong_models_are_refused(models):
    with pytest.raises(UserError, match="model"):
        adapter_checks("timm", models=models)


def test_an_adapter_that_is_not_there_is_told():
    with pytest.raises(UserError, match="timn"):
        adapter_checks("timn", models=["resnet18"])


def test_a_model_that_is_not_there_fails_one_check(look):
    found = look(adapter_checks("timm", models=["resnet19"])[1:4])
    assert set(found.failed) == {"serves"}
    assert "resnet19" in found.failed["serves"]
