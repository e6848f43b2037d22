from __future__ import annotations

import math

import pytest
import torch
from kd_classic import RLD, dkd_loss, rld_loss, standardize_logits
from kd_classic.options.decoupled import RLDOptions
from kd_classic.rld import rld_terms

from kdcore import Requires

PLAIN = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0, "alpha_temperature": 1.0}


def slow(oracle, student, teacher, target, *, alpha, beta, temperature, alpha_temperature):
    losses = []
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        top = max(oracle.softmax(t, alpha_temperature))
        own = oracle.softmax(s, alpha_temperature)
        confidence = oracle.kl([top, 1 - top], [own[y], sum(oracle.drop(own, y))])
        below = [k for k in range(len(t)) if t[k] < t[y]]
        correlation = 0.0
        if below:
            p, q = ([row[k] for k in below] for row in (t, s))
            correlation = oracle.kl(oracle.softmax(p, temperature), oracle.softmax(q, temperature))
        losses.append(alpha * alpha_temperature**2 * confidence + beta * temperature**2 * correlation)
    return oracle.mean(losses)


@pytest.mark.parametrize("options", [PLAIN, {**PLAIN, "alpha": 2.0, "beta": 0.5, "alpha_temperature": 4.0}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (3, 3), (30, 7), (4, 300)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, options):
    student, teacher, target = draw(samples, classes)
    expected = slow(oracle, student, teacher, target, **options)
    assert rld_loss(student, teacher, target, **options).item() == pytest.approx(expected, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # teacher (1/8, 4/8, 2/8, 1/8 * 1/2, 1/8 * 1/2), target 2: top is 1/2, below are 0, 3 and 4
    teacher = torch.tensor([[2.0, 8.0, 4.0, 1.0, 1.0]], dtype=torch.float64).log()
    student = torch.zeros(1, 5, dtype=torch.float64)
    confidence, correlation = rld_terms(
        student, teacher, torch.tensor([2]), temperature=1.0, alpha_temperature=1.0
    )
    # KL of (1/2, 1/2) and (1/5, 4/5) = 1/2 ln(5/2) + 1/2 ln(5/8) = 0.458145 - 0.235002 = 0.223144
    assert confidence.item() == pytest.approx(0.223144, abs=1e-6)
    # KL of (1/2, 1/4, 1/4) and (1/3, 1/3, 1/3) = 1/2 ln(3/2) + 1/2 ln(3/4) = 0.058892
    assert correlation.item() == pytest.approx(0.058892, abs=1e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, target = draw(4, 6)
    assert torch.autograd.gradcheck(
        lambda s: rld_loss(s, teacher, target, **PLAIN), (student.requires_grad_(),), fast_mode=True
    )


def test_a_target_at_the_teachers_bottom_leaves_no_correlation(draw):
    student, teacher, _ = draw(4, 6)
    student.requires_grad_()
    _, correlation = rld_terms(student, teacher, teacher.argmin(1), temperature=4.0, alpha_temperature=4.0)
    assert correlation.item() == 0
    correlation.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_if_the_teacher_is_right_it_is_dkd(draw):
    student, teacher, _ = draw(5, 6)
    target = teacher.argmax(1)
    torch.testing.assert_close(
        rld_loss(student, teacher, target, **{**PLAIN, "alpha_temperature": 4.0}),
        dkd_loss(student, teacher, target, alpha=1.0, beta=8.0, temperature=4.0),
    )


def test_a_confident_row_is_finite_where_the_log_of_a_probability_is_not():
    student = torch.tensor([[1e4, 0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0, -1.0]])
    loss = rld_loss(student, teacher, torch.tensor([1]), **PLAIN)
    loss.backward()
    # KL of (top, 1 - top) and (exp(-1e4), 1): about top * 1e4, beta * 16 * 0 for class 0 alone against two equal ones
    top = math.exp(1) / (math.exp(1) + 1 + math.exp(-1))
    assert loss.item() > top * 9_999
    assert student.grad.isfinite().all()


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, teacher, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    torch.testing.assert_close(
        rld_loss(student, teacher, soft, **PLAIN), rld_loss(student, teacher, target, **PLAIN)
    )


@pytest.mark.parametrize("name", ["temperature", "alpha_temperature"])
def test_a_temperature_that_is_not_above_zero(name):
    with pytest.raises(ValueError, match=f"{name} is 0.0; it must be above 0"):
        rld_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([0, 1]), **{**PLAIN, name: 0.0})


@pytest.mark.parametrize(("given", "used"), [(None, 2.0), (1.0, 1.0)])
def test_the_distiller_weighs_its_terms(setup, step, draw, given, used):
    student, teacher, target = draw(4, 5)
    options = RLDOptions(
        weight=0.5, alpha=3.0, beta=2.0, temperature=2.0, alpha_temperature=given, standardize=True
    )
    distiller = RLD(options, setup)
    assert distiller.requires == Requires(target=True, unlabelled="skipped")
    confidence, correlation = rld_terms(
        standardize_logits(student),
        standardize_logits(teacher),
        target,
        temperature=2.0,
        alpha_temperature=used,
    )
    torch.testing.assert_close(
        step(distiller, student, teacher, target),
        {"confidence": 1.5 * confidence, "correlation": 1.0 * correlation},
    )
