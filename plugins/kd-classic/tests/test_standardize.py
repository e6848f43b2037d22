from __future__ import annotations

import math
import statistics

import pytest
import torch
from kd_classic import standardize_logits


def test_a_value_worked_out_by_hand():
    # mean 2, deviation sqrt((1 + 0 + 1) / 2) = 1
    logits = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    expected = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(standardize_logits(logits), expected, rtol=1e-6, atol=1e-6)


def test_equals_the_statisticians_z_score(draw):
    logits, _, _ = draw(5, 9)
    rows = [
        [(value - statistics.mean(row)) / (statistics.stdev(row) + 1e-7) for value in row]
        for row in logits.tolist()
    ]
    torch.testing.assert_close(standardize_logits(logits), torch.tensor(rows, dtype=torch.float64))


def test_the_gradient_is_that_of_the_formula(draw):
    logits, _, _ = draw(3, 5)
    assert torch.autograd.gradcheck(standardize_logits, (logits.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e3, -1e3])
def test_equal_logits_give_zeros_and_no_gradient(dtype, value):
    logits = torch.full((2, 37), value, dtype=dtype, requires_grad=True)
    scores = standardize_logits(logits)
    assert torch.equal(scores, torch.zeros(2, 37))
    (scores * torch.randn(2, 37)).sum().backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_large_common_part_costs_no_precision():
    # multiples of 1/16 below 16384 are exact in float32, their mean is not
    logits = torch.arange(37).remainder(11).reshape(1, 37) / 16
    torch.testing.assert_close(
        standardize_logits(logits + 1e4), standardize_logits(logits), rtol=0, atol=2e-6
    )


def test_two_classes_keep_only_their_order():
    logits = torch.tensor([[1e4, -1e4], [0.1, 0.3]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[half, -half], [-half, half]])
    torch.testing.assert_close(standardize_logits(logits), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("logits", [torch.zeros(3), torch.zeros(3, 1), torch.zeros(3, 4, dtype=torch.long)])
def test_what_is_not_logits_is_refused(logits):
    with pytest.raises(ValueError, match=r"floating point \[B, K\] with K >= 2"):
        standardize_logits(logits)
