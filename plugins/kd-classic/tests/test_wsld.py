from __future__ import annotations

import math

import pytest
import torch
from kd_classic import WSLD, wsld_loss
from kd_classic.options.decoupled import WSLDOptions
from torch.nn import functional as F

from kdcore import Requires


def slow(oracle, student, teacher, target, temperature):
    """The loss, and its gradient if the weights are constants."""
    losses, gradient = [], []
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        errors = [-math.log(oracle.softmax(row)[y]) for row in (s, t)]
        weight = 1 - math.exp(-errors[0] / (errors[1] + 1e-7))
        p, q = oracle.softmax(t, temperature), oracle.softmax(s, temperature)
        cross_entropy = -sum(a * math.log(b) for a, b in zip(p, q, strict=True))
        losses.append(weight * temperature**2 * cross_entropy)
        gradient.append([weight * temperature * (b - a) / len(target) for a, b in zip(p, q, strict=True)])
    return oracle.mean(losses), torch.tensor(gradient, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_value_and_gradient_equal_the_papers_formula(oracle, draw, samples, classes, temperature):
    student, teacher, target = draw(samples, classes)
    student.requires_grad_()
    loss = wsld_loss(student, teacher, target, temperature=temperature)
    loss.backward()
    expected, gradient = slow(oracle, student, teacher, target, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(student.grad, gradient)


def test_a_value_worked_out_by_hand():
    # both say 1/2 for the target: w = 1 - e^-1, cross-entropy at T = 2 of two equal classes is ln 2
    logits = torch.zeros(1, 2, dtype=torch.float64)
    expected = 4 * (1 - math.exp(-1)) * math.log(2)
    assert wsld_loss(logits, logits, torch.tensor([0]), temperature=2.0).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_a_student_without_error_learns_nothing_and_a_perfect_teacher_counts_fully():
    certain = torch.tensor([[1e4, 0.0, 0.0]])
    unsure = torch.tensor([[0.5, 0.0, 0.1]])
    target = torch.tensor([0])
    assert wsld_loss(certain, unsure, target, temperature=2.0).item() == 0
    cross_entropy = -F.log_softmax(unsure / 2, 1)[0, 0]
    torch.testing.assert_close(
        wsld_loss(unsure, certain, target, temperature=2.0), 4 * cross_entropy, rtol=1e-6, atol=0
    )


def test_the_number_of_classes_is_not_fixed(oracle, draw):
    # the authors' code has 1000 written into it
    student, teacher, target = draw(2, 1001)
    expected, _ = slow(oracle, student, teacher, target, 2.0)
    assert wsld_loss(student, teacher, target, temperature=2.0).item() == pytest.approx(expected, rel=1e-9)


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, teacher, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    torch.testing.assert_close(
        wsld_loss(student, teacher, soft, temperature=2.0),
        wsld_loss(student, teacher, target, temperature=2.0),
    )


def test_the_distiller_weighs_its_term(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = WSLD(WSLDOptions(weight=3.0, temperature=4.0), setup)
    assert distiller.requires == Requires(target=True, unlabelled="skipped")
    expected = 3 * wsld_loss(student, teacher, target, temperature=4.0)
    torch.testing.assert_close(step(distiller, student, teacher, target), {"wsld": expected})
