"""DOT against a slow formula, and against two SGD optimizers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from kdcore.ops import Dot, dot_descent

SETTINGS = {"lr": 0.05, "momentum": 0.9, "delta": 0.075, "weight_decay": 5e-4}


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(parameter, task, distillation, lr, momentum, delta, weight_decay):
    """Number by number."""
    found = []
    for place, start in enumerate(parameter.tolist()):
        value, first, second = start, 0.0, 0.0
        for step in range(len(task)):
            own = task[step, place].item() + weight_decay * value
            other = distillation[step, place].item()
            first = own if step == 0 else (momentum - delta) * first + own
            second = other if step == 0 else (momentum + delta) * second + other
            value -= lr * (first + second)
        found.append(value)
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize(
    "changes", [{}, {"delta": 0.0}, {"weight_decay": 0.1}, {"momentum": 0.5, "delta": 0.4}], ids=str
)
def test_it_is_the_slow_formula(changes):
    settings = {**SETTINGS, **changes}
    parameter, task, distillation = numbers(5), numbers(12, 5, seed=1), numbers(12, 5, seed=2)
    before = parameter.clone()
    found = dot_descent(parameter, task, distillation, **settings)
    torch.testing.assert_close(found, slow(parameter, task, distillation, **settings), rtol=1e-12, atol=1e-12)
    assert torch.equal(parameter, before)


def test_by_hand():
    one = torch.ones(1)
    two_steps = dot_descent(
        one,
        torch.tensor([[1.0], [1.0]]),
        torch.tensor([[2.0], [2.0]]),
        lr=0.1,
        momentum=0.5,
        delta=0.25,
        weight_decay=0.0,
    )
    # step 1: 1 - .1 (1 + 2) = .7; step 2: a = .25 + 1, b = .75 * 2 + 2, .7 - .1 (1.25 + 3.5)
    assert two_steps.item() == pytest.approx(0.7 - 0.475)


def test_no_steps():
    empty = torch.empty(0, 3)
    assert torch.equal(dot_descent(torch.ones(3), empty, empty, **SETTINGS), torch.ones(3))


def test_it_is_two_sgd_optimizers_on_one_parameter():
    parameter, task, distillation = numbers(4), numbers(8, 4, seed=1), numbers(8, 4, seed=2)
    value = nn.Parameter(parameter.clone())
    lr, momentum, delta = 0.05, 0.9, 0.075
    own = torch.optim.SGD([value], lr, momentum - delta, weight_decay=5e-4)
    other = torch.optim.SGD([value], lr, momentum + delta)
    for first, second in zip(task, distillation, strict=True):
        value.grad = first.clone()
        own.step()
        value.grad = second.clone()
        other.step()
    found = dot_descent(parameter, task, distillation, **SETTINGS)
    torch.testing.assert_close(found, value.detach(), rtol=1e-12, atol=1e-12)


def test_the_optimizer_has_the_same_arithmetic_and_its_state_is_saved():
    parameter, task, distillation = numbers(4), numbers(6, 4, seed=1), numbers(6, 4, seed=2)
    value = nn.Parameter(parameter.clone())
    optimizer = Dot([value], **SETTINGS)
    for step in range(6):
        if step == 3:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = Dot([value], lr=1.0)
            optimizer.load_state_dict(state)
        optimizer.take([value], [task[step]], [distillation[step]])
        optimizer.step()
    assert torch.equal(value.detach(), dot_descent(parameter, task, distillation, **SETTINGS))


def test_each_group_of_parameters_has_its_own_momentum_and_decay():
    settings = [
        {"lr": 0.05, "momentum": 0.9, "delta": 0.075, "weight_decay": 5e-4},
        {"lr": 0.2, "momentum": 0.5, "delta": 0.1, "weight_decay": 0.0},
    ]
    starts = [numbers(4), numbers(4, seed=3)]
    task, distillation = ([numbers(6, 4, seed=seed), numbers(6, 4, seed=seed + 1)] for seed in (4, 6))
    values = [nn.Parameter(start.clone()) for start in starts]
    optimizer = Dot([{"params": [value], **one} for value, one in zip(values, settings, strict=True)])
    for number in range(6):
        optimizer.take(values, [one[number] for one in task], [one[number] for one in distillation])
        optimizer.step()
    for value, start, first, second, one in zip(values, starts, task, distillation, settings, strict=True):
        torch.testing.assert_close(value.detach(), dot_descent(start, first, second, **one))


@pytest.mark.parametrize("which", ["task", "distillation"])
def test_a_parameter_that_one_loss_reaches_is_trained_by_sgd(which):
    parameter, gradients = numbers(4), numbers(6, 4, seed=1)
    value, plain = nn.Parameter(parameter.clone()), nn.Parameter(parameter.clone())
    dot = Dot([value], **SETTINGS)
    sgd = torch.optim.SGD([plain], 0.05, 0.9, weight_decay=5e-4)
    for gradient in gradients:
        both = ([gradient], [None]) if which == "task" else ([None], [gradient])
        dot.take([value], *both)
        dot.step()
        plain.grad = gradient.clone()
        sgd.step()
    torch.testing.assert_close(value, plain, rtol=1e-12, atol=1e-12)


def test_gradients_are_used_once():
    value = nn.Parameter(torch.ones(2))
    optimizer = Dot([value], **SETTINGS)
    optimizer.take([value], [torch.ones(2)], [torch.ones(2)])
    optimizer.step()
    after = value.detach().clone()
    optimizer.step()
    assert torch.equal(value, after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": 0.2}, "momentum - delta and momentum \\+ delta must be"),
        ({"momentum": 0.05}, "momentum - delta"),
        ({"lr": -1.0}, "neither may be below 0"),
    ],
)
def test_wrong_numbers(changes, message):
    settings = {**SETTINGS, **changes}
    with pytest.raises(ValueError, match=message):
        dot_descent(torch.ones(2), torch.ones(1, 2), torch.ones(1, 2), **settings)
    with pytest.raises(ValueError, match=message):
        Dot([nn.Parameter(torch.ones(2))], **settings)


def test_wrong_shapes():
    with pytest.raises(
        ValueError, match=r"distillation_gradients has the shape \[2, 2\]; allowed: \[S, P\] = \[1, 2\]"
    ):
        dot_descent(torch.ones(2), torch.ones(1, 2), torch.ones(2, 2), **SETTINGS)
