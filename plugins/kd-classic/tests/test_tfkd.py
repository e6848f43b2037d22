from __future__ import annotations

import math

import pytest
import torch
from kd_classic import TfKD, tfkd_reg_loss
from kd_classic.options.teacher_free import TfKDOptions
from kd_classic.tfkd import softened_reg_loss
from torch.nn import functional as F

from kdcore import Requires

R18 = {"temperature": 20.0, "correct_probability": 0.99}


def slow(oracle, student, target, temperature, correct_probability, *, logarithms=False):
    losses = []
    for s, y in zip(student.tolist(), target.tolist(), strict=True):
        u = [(1 - correct_probability) / (len(s) - 1)] * len(s)
        u[y] = correct_probability
        virtual = oracle.softmax([math.log(x) for x in u] if logarithms else u, temperature)
        losses.append(oracle.kl(virtual, oracle.softmax(s)) / (1 if logarithms else len(s)))
    return oracle.mean(losses)


@pytest.mark.parametrize("options", [R18, {"temperature": 0.5, "correct_probability": 0.6}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_equals_the_released_formula(oracle, draw, samples, classes, options):
    student, _, target = draw(samples, classes)
    expected = slow(oracle, student, target, **options)
    assert tfkd_reg_loss(student, target, **options).item() == pytest.approx(expected, rel=1e-9)
    expected = slow(oracle, student, target, **options, logarithms=True)
    assert softened_reg_loss(student, target, **options).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_the_formula(draw):
    student, _, target = draw(3, 5)
    assert torch.autograd.gradcheck(
        lambda s: tfkd_reg_loss(s, target, **R18), (student.requires_grad_(),), fast_mode=True
    )


def test_the_released_teacher_is_almost_uniform_and_the_papers_is_not():
    # where the loss is least, the student is the virtual teacher
    for loss, share in ((tfkd_reg_loss, 0.0105), (softened_reg_loss, 0.0157)):
        lead = math.log(share * 99 / (1 - share))
        student = torch.zeros(1, 100, dtype=torch.float64)
        student[0, 7] = lead
        student.requires_grad_()
        value = loss(student, torch.tensor([7]), **R18)
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert student.grad.abs().max().item() < 1e-4


def test_a_student_that_agrees_has_no_loss():
    classes, lead = 10, (0.9 - 0.1 / 9) / 2
    student = torch.zeros(2, classes, dtype=torch.float64)
    student[:, 3] = lead
    loss = tfkd_reg_loss(student, torch.tensor([3, 3]), temperature=2.0, correct_probability=0.9)
    assert loss.item() == pytest.approx(0, abs=1e-12)


def test_in_float32_a_small_loss_of_many_classes_is_exact(oracle):
    student = torch.zeros(2, 1000)
    student[:, 3] = 0.04
    target = torch.tensor([3, 3])
    expected = slow(oracle, student.double(), target, **R18)
    assert tfkd_reg_loss(student, target, **R18).item() == pytest.approx(expected, abs=1e-8)


def test_of_a_soft_target_the_most_probable_class_counts(draw):
    student, _, target = draw(3, 4)
    soft = torch.full((3, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    torch.testing.assert_close(tfkd_reg_loss(student, soft, **R18), tfkd_reg_loss(student, target, **R18))


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5, float("nan")])
def test_a_probability_out_of_range(probability):
    with pytest.raises(ValueError, match=r"correct_probability is .*; it must be between 0 and 1"):
        tfkd_reg_loss(torch.zeros(1, 3), torch.tensor([0]), temperature=1.0, correct_probability=probability)


def test_logits_that_do_not_fit():
    with pytest.raises(ValueError, match=r"student_logits has shape \[3\]; it must be \[B, K\]"):
        tfkd_reg_loss(torch.zeros(3), torch.tensor([0]), **R18)


def test_the_distiller_needs_no_teacher(setup, step, draw):
    student, teacher, target = draw(4, 5)
    for version, loss in (("released", tfkd_reg_loss), ("paper", softened_reg_loss)):
        distiller = TfKD(TfKDOptions(weight=3.0, version=version), setup)
        assert distiller.requires == Requires(teacher=False, target=True, unlabelled="skipped")
        terms = step(distiller, student, teacher, target)
        torch.testing.assert_close(terms, {"tfkd": 3 * loss(student, target, **R18)})


def test_with_a_probability_of_the_others_it_is_cross_entropy_towards_them(draw):
    student, _, target = draw(3, 2)
    loss = tfkd_reg_loss(student, target, temperature=1e-3, correct_probability=0.999)
    torch.testing.assert_close(loss, F.cross_entropy(student, target) / 2)
