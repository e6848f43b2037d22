from __future__ import annotations

import pytest
import torch

from kd_reviewkd.reviewkd import hcl_loss

SHAPES = [(2, 3, 8, 8), (2, 3, 5, 5), (1, 2, 4, 4), (2, 2, 3, 3), (2, 2, 2, 2), (3, 2, 1, 1), (2, 2, 7, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_authors_code(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape)
    expected = oracle.hcl(student.tolist(), teacher.tolist())
    assert hcl_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # differences 3 and 1 in one row of two, 0 and 0 in the other: mean square 10 / 4; their mean is 1
    student = torch.tensor([[[[3.0, 1.0], [0.0, 0.0]]]])
    assert hcl_loss(student, torch.zeros_like(student)).item() == pytest.approx((2.5 + 0.5 * 1) / 1.5)


def test_one_place_is_a_mean_square(draw):
    student, teacher = draw(4, 5, 1, 1), draw(4, 5, 1, 1)
    torch.testing.assert_close(hcl_loss(student, teacher), (student - teacher).square().mean())


def test_the_gradient_is_that_of_the_formula_and_the_students_alone(draw):
    student, teacher = draw(2, 2, 5, 5).requires_grad_(), draw(2, 2, 5, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: hcl_loss(s, teacher), (student,))
    hcl_loss(student, teacher).backward()
    assert teacher.grad is None


def test_narrow_types_are_computed_in_float32(draw):
    student, teacher = draw(2, 3, 4, 4).half(), draw(2, 3, 4, 4).half()
    loss = hcl_loss(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), hcl_loss(student.double(), teacher.double()), rtol=1e-5, atol=0)


@pytest.mark.parametrize("shapes", [((2, 3, 4, 4), (2, 3, 4, 2)), ((2, 3), (2, 3))])
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r"both must be \[B, C, H, W\], and equal"):
        hcl_loss(*map(torch.zeros, shapes))
