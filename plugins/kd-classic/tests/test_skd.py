from __future__ import annotations

import math

import pytest
import torch
from kd_classic import SKD, kd_loss, skd_direction_loss
from kd_classic.options.relations import SKDOptions
from kd_classic.skd import shares_below_median

from kdcore import Requires


def slow(student, teacher, tikhonov):
    """Elementwise, with an explicit inverse and a square root."""
    samples, classes = student.shape

    def cosines(rows):
        found = torch.zeros(samples, samples, dtype=torch.float64)
        for i, a in enumerate(rows.tolist()):
            for j, b in enumerate(rows.tolist()):
                dot = sum(x * y for x, y in zip(a, b, strict=True))
                found[i, j] = dot / math.hypot(*a) / math.hypot(*b)
        return found

    difference = (cosines(student) - cosines(teacher)) / classes
    covariance = tikhonov * torch.eye(samples, dtype=torch.float64)
    for j in range(samples):
        for k in range(samples):
            a, b = difference[:, j], difference[:, k]
            covariance[j, k] += ((a - a.mean()) * (b - b.mean())).sum() / (samples - 1)
    inverse = torch.linalg.inv(covariance)
    return sum(math.sqrt(max((row @ inverse @ row).item(), 0)) for row in difference) / samples


@pytest.mark.parametrize("tikhonov", [0.1, 1e-4])
@pytest.mark.parametrize(("samples", "classes"), [(2, 2), (5, 7), (4, 100)])
def test_equals_the_released_formula(draw, samples, classes, tikhonov):
    student, teacher, _ = draw(samples, classes)
    expected = slow(student, teacher, tikhonov)
    assert skd_direction_loss(student, teacher, tikhonov=tikhonov).item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("tikhonov", [0.1, 1e-3])
def test_the_gradient_is_that_of_the_formula(draw, tikhonov):
    student, teacher, _ = draw(4, 6)
    assert torch.autograd.gradcheck(
        lambda s: skd_direction_loss(s, teacher, tikhonov=tikhonov),
        (student.requires_grad_(),),
        fast_mode=True,
    )


def test_only_directions_count(draw):
    student, teacher, _ = draw(4, 6)
    sizes = torch.tensor([[0.1], [1.0], [3.0], [20.0]], dtype=torch.float64)
    once = skd_direction_loss(student, teacher, tikhonov=0.1)
    torch.testing.assert_close(skd_direction_loss(sizes * student, teacher / sizes, tikhonov=0.1), once)


def test_where_both_agree_the_slope_is_finite(draw):
    student, _, _ = draw(4, 6)
    agreed = student.clone().requires_grad_()
    loss = skd_direction_loss(agreed, student, tikhonov=0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(agreed.grad, torch.zeros_like(student))
    alone = student[:1].clone().requires_grad_()
    loss = skd_direction_loss(alone, student[1:2], tikhonov=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert alone.grad.isfinite().all()


def test_a_row_of_zeros_is_orthogonal_to_all_and_gets_no_gradient(draw):
    student, teacher, _ = draw(4, 6)
    student[1] = 0
    student.requires_grad_()
    skd_direction_loss(student, teacher, tikhonov=0.1).backward()
    assert student.grad.isfinite().all()
    assert torch.equal(student.grad[1], torch.zeros(6, dtype=torch.float64))


def test_it_falls_with_the_number_of_classes(draw):
    # the released code divides by K before it whitens, so the term is nearly absent at ImageNet's size
    values = [
        skd_direction_loss(*draw(64, classes, scale=1.0)[:2], tikhonov=0.1).item() for classes in (100, 1000)
    ]
    assert 0.02 < values[0] < 0.06
    assert 0.0005 < values[1] < 0.002


def test_the_shares_are_a_half_for_even_numbers(draw):
    _, teacher, _ = draw(4, 6)
    samples, classes = shares_below_median(teacher)
    assert (samples.item(), classes.item()) == (0.5, 0.5)
    samples, classes = shares_below_median(teacher[:3, :5])
    assert samples.item() == pytest.approx(2 / 3)
    assert classes.item() == pytest.approx(3 / 5)


@pytest.mark.parametrize(("factors", "share"), [(True, 0.5), (False, 1.0)])
def test_the_distiller_weighs_its_terms(setup, step, draw, factors, share):
    student, teacher, _ = draw(4, 6)
    distiller = SKD(SKDOptions(weight=3.0, median_factors=factors), setup)
    assert distiller.requires == Requires(whole_batch=True, unlabelled="given")
    expected = {
        "instance": 3 * share * kd_loss(student, teacher, temperature=4.0),
        "direction": 3 * share * skd_direction_loss(student, teacher, tikhonov=0.1),
    }
    torch.testing.assert_close(step(distiller, student, teacher, None), expected)
