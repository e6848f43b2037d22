from __future__ import annotations

import math

import pytest
import torch
from kd_classic import BKD, bkd_loss
from kd_classic.options.softened import BKDOptions


def slow(oracle, student, teacher):
    terms = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        for x, p in zip(s, oracle.softmax(t), strict=True):
            q = 1 / (1 + math.exp(-x))
            terms.append(-p * math.log(q) - (1 - p) * math.log(1 - q))
    return oracle.mean(terms)


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_equals_the_formula(oracle, draw, samples, classes):
    student, teacher, _ = draw(samples, classes)
    assert bkd_loss(student, teacher).item() == pytest.approx(slow(oracle, student, teacher), rel=1e-10)


def test_a_value_worked_out_by_hand():
    # sigmoids of 1/2 against any probabilities: ln 2
    teacher = torch.tensor([[3.0, 1.0, -2.0]])
    assert bkd_loss(torch.zeros(1, 3), teacher).item() == pytest.approx(math.log(2), rel=1e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(3, 5)
    assert torch.autograd.gradcheck(
        lambda s: bkd_loss(s, teacher), (student.requires_grad_(),), fast_mode=True
    )


def test_it_is_least_where_the_sigmoids_are_the_teachers_probabilities(draw):
    _, teacher, _ = draw(3, 5)
    best = teacher.softmax(1).logit().requires_grad_()
    bkd_loss(best, teacher).backward()
    assert best.grad.abs().max().item() < 1e-12


def test_certain_logits_keep_their_gradient():
    # log(1 - sigmoid) of 1e4 is -inf
    student = torch.tensor([[1e4, 0.0]], requires_grad=True)
    loss = bkd_loss(student, torch.tensor([[0.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx((0.5 * 1e4 + math.log(2)) / 2, rel=1e-6)
    torch.testing.assert_close(student.grad, torch.tensor([[0.25, 0.0]]))


def test_the_distiller_weighs_its_term(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = BKD(BKDOptions(weight=3.0), setup)
    assert not distiller.requires.target
    torch.testing.assert_close(
        step(distiller, student, teacher, None), {"bkd": 3 * bkd_loss(student, teacher)}
    )
