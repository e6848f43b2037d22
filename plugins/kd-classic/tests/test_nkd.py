from __future__ import annotations

import math

import pytest
import torch
from kd_classic import NKD, nkd_loss
from kd_classic.nkd import nkd_terms
from kd_classic.options.decoupled import NKDOptions

from kdcore import Requires

IMAGENET = {"gamma": 1.5, "temperature": 1.0}
CIFAR = {"gamma": 3.5, "temperature": 3.0}


@pytest.mark.parametrize("options", [IMAGENET, CIFAR])
@pytest.mark.parametrize(("samples", "classes"), [(1, 3), (3, 2), (5, 7), (4, 1000)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, options):
    student, teacher, target = draw(samples, classes)
    expected = oracle.nkd(student.tolist(), teacher.tolist(), target.tolist(), **options)
    assert nkd_loss(student, teacher, target, **options).item() == pytest.approx(expected, rel=1e-9)
    single = nkd_loss(student.float(), teacher.float(), target, **options)
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_a_value_worked_out_by_hand():
    # teacher (4/8, 3/8, 1/8), student (1/3, 1/3, 1/3), target 0
    teacher = torch.tensor([[4.0, 3.0, 1.0]], dtype=torch.float64).log()
    student = torch.zeros(1, 3, dtype=torch.float64)
    target_term, non_target = nkd_terms(student, teacher, torch.tensor([0]), temperature=1.0)
    assert target_term.item() == pytest.approx(0.549306, abs=1e-6)  # -1/2 ln(1/3)
    assert non_target.item() == pytest.approx(0.693147, abs=1e-6)  # -(3/4 + 1/4) ln(1/2)
    loss = nkd_loss(student, teacher, torch.tensor([0]), gamma=1.5, temperature=1.0)
    assert loss.item() == pytest.approx(1.589027, abs=2e-6)  # 0.549306 + 1.5 * 0.693147


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, target = draw(4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: nkd_loss(s, teacher, target, **CIFAR), (student,))


def test_two_classes_have_no_non_target_part(draw):
    student, teacher, target = draw(6, 2, scale=50.0)
    student.requires_grad_()
    _, non_target = nkd_terms(student, teacher, target, temperature=3.0)
    assert non_target.item() == 0
    non_target.backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_the_target_term_has_no_temperature(draw):
    student, teacher, target = draw(4, 6)
    at_one, _ = nkd_terms(student, teacher, target, temperature=1.0)
    at_three, _ = nkd_terms(student, teacher, target, temperature=3.0)
    assert torch.equal(at_one, at_three)


def test_a_certain_teacher_against_a_certain_student_of_another_class():
    # the teacher's score is 1 and log softmax(s)_1 is -1e4
    student, teacher = torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([[0.0, 1e4, 0.0]])
    target_term, _ = nkd_terms(student, teacher, torch.tensor([1]), temperature=1.0)
    assert target_term.item() == pytest.approx(1e4, rel=1e-6)


def test_a_target_logit_of_any_size_leaves_the_other_classes_as_they_are():
    student, teacher = torch.tensor([[1e4, 0.0, 1.0]]), torch.tensor([[1e4, 1.0, 0.0]])
    _, non_target = nkd_terms(student, teacher, torch.tensor([0]), temperature=1.0)
    # -(e ln(1/(e + 1)) + ln(e/(e + 1))) / (e + 1) = ln(e + 1) - 1/(e + 1)
    assert non_target.item() == pytest.approx(math.log(math.e + 1) - 1 / (math.e + 1), rel=1e-6)


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, teacher, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    expected = nkd_loss(student, teacher, target, **IMAGENET)
    torch.testing.assert_close(nkd_loss(student, teacher, soft, **IMAGENET), expected)


def test_the_distiller_weighs_its_terms(setup, step, draw):
    student, teacher, target = draw(4, 5)
    distiller = NKD(NKDOptions(weight=0.5, gamma=3.0, temperature=2.0), setup)
    assert distiller.requires == Requires(target=True, unlabelled="skipped")
    target_term, non_target = nkd_terms(student, teacher, target, temperature=2.0)
    expected = {"target": 0.5 * target_term, "non_target": 1.5 * non_target}
    torch.testing.assert_close(step(distiller, student, teacher, target), expected)


def test_without_a_target_the_distiller_says_so(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    with pytest.raises(ValueError, match="nkd reads the ground truth"):
        step(NKD(NKDOptions(), setup), student, teacher, None)
