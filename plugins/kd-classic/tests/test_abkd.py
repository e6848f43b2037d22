from __future__ import annotations

import math

import pytest
import torch
from kd_classic import ABKD, abkd_loss, kd_loss
from kd_classic.options.softened import ABKDOptions


def slow(oracle, student, teacher, alpha, beta, temperature):
    losses = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        total = 0.0
        for p, q in zip(oracle.softmax(t, temperature), oracle.softmax(s, temperature), strict=True):
            both = alpha + beta
            total += (p**alpha * q**beta - alpha / both * p**both - beta / both * q**both) / -(alpha * beta)
        losses.append(total)
    return oracle.mean(losses)


@pytest.mark.parametrize(("alpha", "beta"), [(0.8, 0.3), (0.2, 0.7), (1.5, -0.4), (2.0, 1.0)])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, alpha, beta):
    student, teacher, _ = draw(samples, classes)
    expected = slow(oracle, student, teacher, alpha, beta, 4.0)
    loss = abkd_loss(student, teacher, alpha=alpha, beta=beta, temperature=4.0)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.4, -0.4)])
def test_where_the_formula_is_0_by_0_it_is_the_limit(oracle, draw, alpha, beta):
    # the released code halves the value at alpha 0.5 when beta goes from 1e-6 to 0
    student, teacher, _ = draw(5, 7)
    near = slow(oracle, student, teacher, alpha + 1e-6 * (alpha == 0), beta + 1e-6, 2.0)
    loss = abkd_loss(student, teacher, alpha=alpha, beta=beta, temperature=2.0)
    assert loss.item() == pytest.approx(near, rel=1e-4)


def test_known_members_of_the_family(oracle, draw):
    student, teacher, _ = draw(5, 7)

    def loss(alpha, beta):
        return abkd_loss(student, teacher, alpha=alpha, beta=beta, temperature=1.0)

    p, q = teacher.softmax(1), student.softmax(1)
    torch.testing.assert_close(loss(1.0, 0.0), kd_loss(student, teacher, temperature=1.0))
    torch.testing.assert_close(loss(0.0, 1.0), kd_loss(teacher, student, temperature=1.0))
    # Hellinger: 4 * (1 - sum sqrt(pq)); half the squared distance; half the squared distance of the logarithms
    torch.testing.assert_close(loss(0.5, 0.5), 4 * (1 - (p * q).sqrt().sum(1)).mean())
    torch.testing.assert_close(loss(1.0, 1.0), (p - q).square().sum(1).mean() / 2)
    torch.testing.assert_close(loss(0.0, 0.0), (p.log() - q.log()).square().sum(1).mean() / 2)


@pytest.mark.parametrize(("alpha", "beta"), [(0.8, 0.3), (0.5, 0.0), (0.0, 0.5), (0.0, 0.0), (0.4, -0.4)])
def test_the_gradient_is_that_of_the_formula_and_zero_where_both_agree(draw, alpha, beta):
    student, teacher, _ = draw(3, 5)

    def loss(logits):
        return abkd_loss(logits, teacher, alpha=alpha, beta=beta, temperature=2.0)

    assert torch.autograd.gradcheck(loss, (student.requires_grad_(),), fast_mode=True)
    agreed = teacher.clone().requires_grad_()
    value = loss(agreed)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert agreed.grad.abs().max().item() < 1e-12


def test_a_value_worked_out_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2): half of (1/16 + 1/16)
    teacher = torch.tensor([[math.log(3), 0.0]])
    loss = abkd_loss(torch.zeros(1, 2), teacher, alpha=1.0, beta=1.0, temperature=1.0)
    assert loss.item() == pytest.approx(1 / 16, rel=1e-6)


def test_the_distiller_weighs_its_term(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = ABKD(ABKDOptions(weight=3.0, alpha=0.6), setup)
    expected = 3 * abkd_loss(student, teacher, alpha=0.6, beta=0.3, temperature=4.0)
    torch.testing.assert_close(step(distiller, student, teacher, None), {"abkd": expected})
