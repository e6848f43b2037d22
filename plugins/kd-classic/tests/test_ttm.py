from __future__ import annotations

import pytest
import torch
from kd_classic import TTM, WTTM, kd_loss, ttm_loss, wttm_loss
from kd_classic.options.softened import TTMOptions, WTTMOptions


def slow(oracle, student, teacher, gamma, *, weighted):
    losses = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        powers = [p**gamma for p in oracle.softmax(t)]
        total = sum(powers)
        divergence = oracle.kl([power / total for power in powers], oracle.softmax(s))
        losses.append(divergence * (total if weighted else 1.0))
    return oracle.mean(losses)


@pytest.mark.parametrize("gamma", [0.1, 0.7, 1.0, 2.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, gamma):
    student, teacher, _ = draw(samples, classes)
    for loss, weighted in ((ttm_loss, False), (wttm_loss, True)):
        expected = slow(oracle, student, teacher, gamma, weighted=weighted)
        assert loss(student, teacher, gamma=gamma).item() == pytest.approx(expected, rel=1e-10)


def test_values_worked_out_by_hand():
    # teacher (0.64, 0.36), gamma 1/2: powers (0.8, 0.6), sum 1.4, so q = (4/7, 3/7); student (1/2, 1/2)
    teacher = torch.tensor([[0.64, 0.36]], dtype=torch.float64).log()
    student = torch.zeros(1, 2, dtype=torch.float64)
    # KL = 4/7 ln(8/7) + 3/7 ln(6/7) = 0.076304 - 0.066065 = 0.010239
    assert ttm_loss(student, teacher, gamma=0.5).item() == pytest.approx(0.010239, abs=1e-6)
    assert wttm_loss(student, teacher, gamma=0.5).item() == pytest.approx(1.4 * 0.010239, abs=2e-6)


@pytest.mark.parametrize("loss", [ttm_loss, wttm_loss])
def test_the_gradient_is_that_of_the_formula(draw, loss):
    student, teacher, _ = draw(3, 5)
    assert torch.autograd.gradcheck(
        lambda s: loss(s, teacher, gamma=0.3), (student.requires_grad_(),), fast_mode=True
    )


def test_with_gamma_1_both_are_kd_without_a_temperature(draw):
    student, teacher, _ = draw(4, 6)
    expected = kd_loss(student, teacher, temperature=1.0)
    torch.testing.assert_close(ttm_loss(student, teacher, gamma=1.0), expected)
    torch.testing.assert_close(wttm_loss(student, teacher, gamma=1.0), expected)


def test_the_weight_goes_from_1_for_a_certain_teacher_to_its_largest_value_for_an_undecided_one():
    classes, gamma = 21_841, 0.1
    student = torch.zeros(1, classes)
    student[0, 1] = 3.0
    certain = torch.zeros(1, classes)
    certain[0, 0] = 1e4
    undecided = torch.zeros(1, classes)
    for teacher, weight in ((certain, 1.0), (undecided, classes ** (1 - gamma))):
        ratio = wttm_loss(student, teacher, gamma=gamma) / ttm_loss(student, teacher, gamma=gamma)
        assert ratio.item() == pytest.approx(weight, rel=1e-4)


@pytest.mark.parametrize("loss", [ttm_loss, wttm_loss])
@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan")])
def test_a_gamma_that_is_not_above_zero(loss, gamma):
    with pytest.raises(ValueError, match=r"gamma is .*; it must be above 0"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), gamma=gamma)


def test_the_distillers_weigh_their_terms(setup, step, draw):
    student, teacher, target = draw(4, 5)
    for distiller, name, loss in (
        (TTM(TTMOptions(weight=3.0, gamma=0.5), setup), "ttm", ttm_loss),
        (WTTM(WTTMOptions(weight=3.0, gamma=0.5), setup), "wttm", wttm_loss),
    ):
        assert not distiller.requires.target
        terms = step(distiller, student, teacher, target)
        torch.testing.assert_close(terms, {name: 3 * loss(student, teacher, gamma=0.5)})
