"""Where networks are rounded, and that the integer form computes what the rounded network computes."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from kd_export.quantize.integers import integer_form
from kd_export.quantize.plan import Plan, make_plan
from kd_export.quantize.rounded import round_to_plan, rounded_part
from torch import nn

RESNET = ("resnet10t", {"channels": [8, 8, 16, 16]})
MOBILE = ("mobilenetv3_small_050", {})
VIT = ("vit_tiny_patch16_224", {"img_size": 32, "depth": 1, "embed_dim": 16, "num_heads": 2})


def build(name, options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=5, **options)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, -1, 1)  # batch norms may change the sign
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.2, 0.5)
                module.weight.data[0] = 0
    return model


@pytest.fixture(scope="module")
def rounded():
    """Networks that are rounded, with the ranges of one batch."""
    made = {}

    def get(name, options):
        if name not in made:
            model = build(name, options)
            round_to_plan(model, make_plan(model, (32, 32), 3))
            with torch.no_grad():
                model.train()(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
            made[name] = model.eval()
        return made[name]

    return get


@pytest.mark.parametrize(("name", "options"), [RESNET, MOBILE, VIT], ids=["resnet", "mobile", "vit"])
@pytest.mark.parametrize("unsigned", [False, True])
def test_the_integer_form_gives_the_logits_of_the_rounded_network(rounded, name, options, unsigned):
    model = rounded(name, options)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted = model(images)
        form = integer_form(model, unsigned=unsigned, multiplied=unsigned)
        found = form(images)
        again = model(images)
    torch.testing.assert_close(again, wanted, rtol=0, atol=0)  # the network itself did not change
    # rounding in another order moves a value at most to the next integers
    assert (found - wanted).abs().max() <= 0.05 * wanted.abs().max()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in form.modules())
    kinds = {one.dtype for name, one in form.named_parameters() if name.endswith("weight.original")}
    assert kinds == {torch.int8}


def test_only_an_export_rounds_logits(rounded):
    model = rounded(*RESNET)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    step = float(model.fc.int8_output.step_and_zero()[0])
    with torch.no_grad():
        for logits in (False, True):
            found = integer_form(model, unsigned=False, logits=logits)(images) / step
            assert bool(((found - found.round()).abs() < 1e-3).all()) is logits


def test_rounding_changes_what_the_network_computes(rounded):
    model = rounded(*RESNET)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(images), build(*RESNET).eval()(images))


@pytest.mark.parametrize(("name", "options"), [RESNET, MOBILE], ids=["resnet", "mobile"])
def test_the_plan_needs_no_weights_and_can_be_kept(name, options):
    plan = make_plan(build(name, options), (32, 32), 3)
    with torch.device("meta"):
        assert make_plan(timm.create_model(name, num_classes=5, **options), (32, 32), 3) == plan
    assert Plan.of_record(plan.as_record()) == plan


def test_rounding_stands_after_norm_and_relu_and_where_nothing_was_rounded():
    plan = make_plan(build(*RESNET), (32, 32), 3)
    assert plan.layers["layer1.0.conv1"] == "layer1.0.bn1"
    assert plan.layers["fc"] is None
    points = set(plan.points)
    assert {("conv1.0", "in"), ("layer1.0.act1", "out"), ("layer1.0.bn2", "out"), ("fc", "logits")} <= points
    assert ("layer1.0.conv2", "in") not in points  # its input is the rounded output of act1
    assert ("layer2.0.conv1", "in") in points  # a sum


def test_other_activations_stand_between_two_roundings():
    plan = make_plan(build(*MOBILE), (32, 32), 3)
    assert ("bn1.act", "in") in plan.points
    assert ("blocks.0.0.conv_dw", "in") in plan.points
    assert plan.layers["classifier"] is None


class Odd(nn.Module):
    """A layer that runs twice, one that does not run, and one whose weight is computed."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 1)
        self.never = nn.Linear(3, 3)
        self.own = type("Own", (nn.Conv2d,), {})(3, 3, 1)
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        if float(images.sum()) < -1e9:  # the value of a tensor, which the meta device does not have
            return images
        return self.head(self.own(self.twice(self.twice(images))).mean((2, 3)))


def test_what_cannot_be_rounded_stays_as_it_is():
    plan = make_plan(Odd(), (4, 4), 3)
    assert plan.layers == {"head": None}
    assert make_plan(Odd().to("meta"), (4, 4), 3) == plan


class Shared(nn.Module):
    """The output of the first layer goes to a norm, and past it: added, or through a shortcut."""

    def __init__(self, shortcut):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.shortcut = nn.Conv2d(4, 4, 1) if shortcut else None
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        values = self.first(images)
        past = values if self.shortcut is None else self.shortcut(values)
        return self.head((past + self.norm2(self.second(self.norm(values)))).mean((2, 3)))


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_norm_is_not_folded_where_its_input_is_read_elsewhere(shortcut):
    torch.manual_seed(0)
    model = Shared(shortcut)
    for norm in (model.norm, model.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    plan = make_plan(model, (4, 4), 3)
    assert (plan.layers["first"], plan.layers["second"]) == (None, "norm2")
    assert make_plan(Shared(shortcut).to("meta"), (4, 4), 3) == plan
    round_to_plan(model, plan)
    images = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.train()(images)
        wanted = model.eval()(images)
        found = integer_form(model, unsigned=False)(images)
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0.02 * float(wanted.abs().max()))


def test_a_norm_without_running_statistics_is_not_folded():
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), *head)
    plan = make_plan(model, (4, 4), 3)
    assert plan.layers == {"0": None, "5": None}
    round_to_plan(model, plan)
    images = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.train()(images)
        wanted = model.eval()(images)
        found = integer_form(model, unsigned=False)(images)
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0.02 * float(wanted.abs().max()))


def test_copies_are_independent(rounded):
    model = rounded(*RESNET)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        wanted = model(images)
        copy.deepcopy(model).train()(10 * images)
        torch.testing.assert_close(model(images), wanted, rtol=0, atol=0)
    assert rounded_part(nn.Sequential(model)) is model


def test_a_compiled_step_gives_the_same_gradients():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    round_to_plan(net, make_plan(net, (4, 4), 3))
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for model in (copy.deepcopy(net), torch.compile(copy.deepcopy(net), backend="aot_eager", fullgraph=True)):
        for _ in range(2):
            model(images).square().sum().backward()
        found.append([one.grad for one in model.parameters()] + list(model.buffers()))
    torch._dynamo.reset()
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
