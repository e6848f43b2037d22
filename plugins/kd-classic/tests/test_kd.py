from __future__ import annotations

import math

import pytest
import torch
from kd_classic import KD, kd_loss, standardize_logits
from kd_classic.options.softened import KDOptions

from kdcore import Requires


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (3, 2), (5, 7), (4, 1000)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    expected = oracle.kd(student.tolist(), teacher.tolist(), temperature=temperature)
    assert kd_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)
    single = kd_loss(student.float(), teacher.float(), temperature=temperature)
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_a_value_worked_out_by_hand():
    # teacher (3/4, 1/4), student (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2) = 0.304099 - 0.173287 = 0.130812
    student = torch.zeros(1, 2, dtype=torch.float64)
    teacher = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
    assert kd_loss(student, teacher, temperature=1.0).item() == pytest.approx(0.130812, abs=1e-6)
    # at T = 2 twice the logits are the same probabilities, and the factor is 4: 0.523248
    assert kd_loss(student, 2 * teacher, temperature=2.0).item() == pytest.approx(0.523248, abs=4e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: kd_loss(s, teacher, temperature=3.0), (student,))
    # d/ds of T^2 KL, mean over the batch: T (softmax(s/T) - softmax(t/T)) / B
    kd_loss(student, teacher, temperature=3.0).backward()
    by_hand = 3.0 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)).detach() / 4
    torch.testing.assert_close(student.grad, by_hand)


def test_a_certain_teacher_against_a_certain_student_of_another_class():
    # T = 4: KL is log 1 - log softmax(s/4)_y = 1e4/4, times 16
    student, teacher = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    assert kd_loss(student, teacher, temperature=4.0).item() == pytest.approx(40_000, rel=1e-6)
    half = kd_loss((student / 10).half(), (teacher / 10).half(), temperature=4.0)
    assert half.item() == pytest.approx(4_000, rel=1e-6)


def test_the_distiller_weighs_its_term(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = KD(KDOptions(weight=0.25, temperature=2.0), setup)
    terms = step(distiller, student, teacher, target)
    assert list(terms) == ["kd"]
    torch.testing.assert_close(terms["kd"], 0.25 * kd_loss(student, teacher, temperature=2.0))


def test_the_distiller_needs_no_labels_and_has_no_parameters(setup, step, draw):
    distiller = KD(KDOptions(), setup)
    assert distiller.requires == Requires(unlabelled="given")
    assert list(distiller.parameters()) == []
    student, teacher, _ = draw(4, 5)
    assert step(distiller, student, teacher, None)["kd"].isfinite()


def test_with_standardisation_the_distiller_sees_z_scores(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = KD(KDOptions(weight=9, temperature=2.0, standardize=True), setup)
    expected = 9 * kd_loss(standardize_logits(student), standardize_logits(teacher), temperature=2.0)
    torch.testing.assert_close(step(distiller, student, teacher, target)["kd"], expected)
    moved = step(distiller, 7 * student + 3, 0.5 * teacher - 1, target)["kd"]
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=0)
