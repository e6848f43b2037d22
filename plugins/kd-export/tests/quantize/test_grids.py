"""The grids of 8-bit integers: against slow formulas, and the average of the ranges in all that averages a network."""

from __future__ import annotations

import copy

import pytest
import torch
from kd_export.quantize import grids
from kd_export.quantize.grids import ActivationGrid, WeightGrid
from timm.utils import ModelEmaV3
from torch import nn


def test_weights_are_integers_times_a_step_per_channel():
    weight = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    weight[1] = 0
    found = WeightGrid()(weight)
    for channel, (values, given) in enumerate(zip(found, weight, strict=True)):
        step = given.abs().max().item() / 127
        wanted = [[round(value / step) * step if step else 0.0 for value in row] for row in given.tolist()]
        torch.testing.assert_close(values, torch.tensor(wanted), msg=str(channel))


def test_gradients_pass_unchanged():
    weight = torch.randn(4, 3, requires_grad=True)
    values = torch.tensor([-1.0, 0.3, 2.0], requires_grad=True)
    (WeightGrid()(weight).sum() + (3 * ActivationGrid()(values)).sum()).backward()
    torch.testing.assert_close(weight.grad, torch.ones(4, 3))
    torch.testing.assert_close(values.grad, torch.full((3,), 3.0))


def test_the_first_batch_gives_its_range_and_later_ones_move_it():
    grid = ActivationGrid()
    values = torch.linspace(-1, 4, 100)
    assert (grid(values) - values).abs().max() <= 5 / 255 / 2 + 1e-6
    step, zero = grid.step_and_zero()
    assert step == pytest.approx(5 / 255)
    assert zero == round(-128 + 1 / (5 / 255))
    grid(torch.linspace(-3, 4, 100))
    low = grid.low / grid.mass
    assert low == pytest.approx((-1 * 0.99 - 3) / 1.99)
    grid.eval()
    assert grid(torch.tensor([100.0])) == pytest.approx(4.0, abs=float(step))  # it is cut at the range
    assert grid.low / grid.mass == low


def test_zero_is_on_the_grid_also_if_all_values_are_above_it():
    grid = ActivationGrid()
    grid(torch.tensor([3.0, 5.0]))
    assert grid(torch.zeros(1)) == 0


def test_before_the_first_batch_nothing_is_rounded():
    values = torch.randn(10)
    torch.testing.assert_close(ActivationGrid().eval()(values), values, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_number_format_stays(dtype):
    found = ActivationGrid()(torch.linspace(-1, 1, 5).to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), torch.linspace(-1, 1, 5), rtol=0, atol=0.01)


def test_the_average_over_the_steps_has_ranges_in_proportion():
    grid = ActivationGrid()
    average = ModelEmaV3(nn.Sequential(nn.Linear(1, 1), grid), decay=0.9)
    for end in (1.0, 1.0, 1.0):
        grid(torch.tensor([-end, end]))
        average.update(nn.Sequential(nn.Linear(1, 1), grid))
    step, _ = average.module[1].step_and_zero()
    assert step == pytest.approx(2 / 255)


def test_a_copy_has_a_range_of_its_own():
    grid = ActivationGrid()
    other = copy.deepcopy(grid)
    grid(torch.ones(3))
    assert other.mass == 0


@pytest.mark.parametrize("layer", [WeightGrid, ActivationGrid])
def test_the_form_for_a_compiler_computes_the_same(layer, monkeypatch):
    values = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    found = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        grid, given = layer(), values.clone().requires_grad_()
        grid(values)
        result = grid(3 * given)  # some values are outside of the range
        result.square().sum().backward()
        found.append((result.detach(), given.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one)


def test_in_several_processes_the_range_is_the_mean_of_theirs(monkeypatch):
    monkeypatch.setattr(grids, "world_size", lambda: 2)
    monkeypatch.setattr(grids, "sum_over_processes", lambda ends: ends + torch.tensor([-3.0, 4.0]))
    grid = ActivationGrid()
    grid(torch.tensor([-1.0, 2.0]))
    assert (grid.low / grid.mass, grid.high / grid.mass) == (pytest.approx(-2), pytest.approx(3))
