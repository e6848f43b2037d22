"""Runs whose optimizer gets the gradients of the task loss and of the distillers apart."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import kdcore
from kdcore.ops import Dot
from kdcore.run.optimizer_trial import try_optimizer
from kdcore.run.separate import SeparateGradients
from kdcore.spec.models import OptimizerSpec

TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
DOT = {"name": "dot", "lr": 0.02, "momentum": 0.9, "delta": 0.09, "weight_decay": 5e-4}
ALIGNED = {"name": "sgd", "align_gradients": True}
SPEC = {"teacher": TEACHER, "distiller": "kd", "optimizer": DOT}


def weights(result):
    return load_file(result.directory / "student" / "model.safetensors")


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_resumed_run_ends_the_same(spec_file):
    changes = {**SPEC, "train": {"accumulate": 2, "clip_grad": 1.0, "ema": 0.9}}
    whole = weights(kdcore.run(spec_file("whole", **changes), quiet=True))
    parts = spec_file("parts", **changes)
    kdcore.run(parts, quiet=True, until=1)
    assert same(whole, weights(kdcore.run(parts, quiet=True)))


def test_without_a_difference_of_the_momentums_it_is_sgd(spec_file):
    settings = {**DOT, "lr": 0.05, "filter_bias_and_bn": False}
    sgd = {**settings, "name": "sgd", "delta": None, "options": {"nesterov": False}}
    found = {}
    for name, optimizer in (("dot", settings), ("zero", {**settings, "delta": 0.0}), ("sgd", sgd)):
        spec = spec_file(name, **{**SPEC, "optimizer": optimizer, "train": {"epochs": 3}})
        found[name] = weights(kdcore.run(spec, quiet=True))["fc.weight"]
    rounding = (found["zero"] - found["sgd"]).abs().max()
    assert rounding < 1e-4
    assert (found["dot"] - found["sgd"]).abs().max() > 10 * rounding


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.other, self.idle = (nn.Linear(3, 3) for _ in range(4))
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, given):
        shared = self.body(given).tanh()
        task, term = self.head(shared).square().mean(), self.other(shared).abs().mean()
        return SimpleNamespace(task_loss=task, terms={"a": term, "b": 2 * term}, loss=task + 3 * term)


@pytest.mark.parametrize("scaled", [False, True])
def test_each_loss_has_its_gradient_over_all_batches_of_a_step(scaled):
    torch.manual_seed(0)
    net, batches = Net(), torch.randn(2, 4, 3)
    optimizer = Dot(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0) if scaled else None
    accelerator = SimpleNamespace(
        scaler=scaler,
        num_processes=1,
        device=torch.device("cpu"),
        unscale_gradients=lambda: scaler.unscale_(optimizer),
    )
    separate = SeparateGradients(optimizer, net.parameters(), accelerator)
    for batch in batches:
        separate.add(net(batch), 2)
    clip = 0.3
    separate.hand_over(clip)
    given = dict(optimizer._given)
    names = {parameter: name for name, parameter in net.named_parameters()}
    wanted = {}
    for loss in ("task", "terms"):
        net.zero_grad()
        for batch in batches:
            output = net(batch)
            ((output.task_loss if loss == "task" else sum(output.terms.values())) / 2).backward()
        wanted[loss] = {name: parameter.grad for name, parameter in net.named_parameters()}
        for parameter in net.parameters():
            parameter.grad = None
    whole = [
        sum(wanted[loss][name] for loss in wanted if wanted[loss][name] is not None)
        for name in wanted["task"]
        if any(wanted[loss][name] is not None for loss in wanted)
    ]
    factor = clip / (torch.cat([one.reshape(-1) for one in whole]).norm() + 1e-6)
    assert factor < 1
    assert "frozen.weight" not in {names[parameter] for parameter in given}
    for parameter, both in given.items():
        for loss, gradient in zip(("task", "terms"), both, strict=True):
            expected = wanted[loss][names[parameter]]
            assert (gradient is None) == (expected is None), (loss, names[parameter])
            if expected is not None:
                torch.testing.assert_close(gradient, expected * factor, rtol=1e-4, atol=1e-7)


def test_aligned_gradients_are_summed_and_clipped_for_any_optimizer():
    torch.manual_seed(0)
    net, batch = Net(), torch.randn(4, 3)

    def losses():
        shared = net.body(batch).tanh()
        task, other = net.head(shared).square().mean(), net.other(shared).abs().mean()
        return task, 0.1 * other - 2 * task  # opposed to the task

    task, term = losses()
    parameters = [one for one in net.parameters() if one.requires_grad]
    g, k = (
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in (task, term)
    )
    reached = [one for one, *both in zip(parameters, g, k, strict=True) if any(x is not None for x in both)]
    g, k = (
        torch.cat(
            [
                torch.zeros(one.numel()) if found is None else found.reshape(-1)
                for one, found in zip(parameters, every, strict=True)
                if any(one is other for other in reached)
            ]
        )
        for every in (g, k)
    )
    assert g @ k < 0
    wanted = g + k - (g @ k) / (g @ g) * g
    wanted *= 0.01 / wanted.norm()
    accelerator = SimpleNamespace(scaler=None, num_processes=1, device=torch.device("cpu"))
    separate = SeparateGradients(torch.optim.SGD(parameters), net.parameters(), accelerator, align=True)
    task, term = losses()
    separate.add(SimpleNamespace(task_loss=task, terms={"a": term}, loss=task + term), 1)
    separate.hand_over(0.01)
    found = torch.cat([one.grad.reshape(-1) for one in reached])
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-7)
    assert all(one.grad is None for one in net.idle.parameters())


def test_a_run_with_aligned_gradients_goes_another_way(spec_file):
    found = {}
    for aligned in (True, False):
        optimizer = {"name": "sgd", "lr": 0.1, "align_gradients": aligned}
        # the teacher has random weights, so that what it teaches opposes the labels
        spec = spec_file(f"aligned-{aligned}", **{**SPEC, "optimizer": optimizer})
        found[aligned] = weights(kdcore.run(spec, quiet=True))["fc.weight"]
    assert found[True].isfinite().all()
    assert not torch.equal(found[True], found[False])


def test_it_is_tried_before_a_run():
    shapes = [torch.empty(shape, device="meta") for shape in [(), (4,), (2, 3)]]
    assert try_optimizer(OptimizerSpec(name="dot"), shapes).problems == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"name": "sgd", "delta": 0.1}}, "'sgd' has one momentum; 'delta' is for 'dot'"),
        ({"optimizer": {**DOT, "delta": 0.5}}, "momentum - delta and momentum . delta must be"),
        ({"optimizer": {**DOT, "options": {"nesterov": True}}}, "'dot' has no such option"),
        ({"optimizer": {**DOT, "options": {"delta": 0.1}}}, "write it as optimizer.delta"),
        ({"optimizer": {**DOT, "name": "lookahead_dot"}}, "timm has no optimizer of this name"),
        ({"optimizer": {**DOT, "align_gradients": True}}, "use another optimizer, such as 'sgd'"),
        (
            {"optimizer": ALIGNED, "train": {"compile": True}},
            "'align_gradients' goes through the student's graph",
        ),
        ({"optimizer": ALIGNED, "train": {"fsdp": "student"}}, "'align_gradients' needs the gradients"),
        ({"train": {"compile": True}}, "goes through the student's graph twice"),
        ({"train": {"compile": "step"}}, "train.compile: 'dot' goes through the student's graph twice"),
        ({"train": {"fsdp": "student"}}, "the gradients of two losses apart"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(spec_file, changes, message):
    with pytest.raises(kdcore.UserError, match=message):
        kdcore.validate(spec_file(**{**SPEC, **changes}))
