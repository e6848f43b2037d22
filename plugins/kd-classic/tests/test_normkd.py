from __future__ import annotations

import statistics

import pytest
import torch
from kd_classic import NormKD, normkd_loss
from kd_classic.options.softened import NormKDOptions


def slow(oracle, student, teacher, temperature):
    losses = []
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        of_s, of_t = temperature * statistics.stdev(s), temperature * statistics.stdev(t)
        losses.append(of_t**2 * oracle.kl(oracle.softmax(t, of_t), oracle.softmax(s, of_s)))
    return oracle.mean(losses)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 300)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    expected = slow(oracle, student, teacher, temperature)
    assert normkd_loss(student, teacher, temperature=temperature).item() == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


def test_the_gradient_flows_through_the_students_temperature(draw):
    student, teacher, _ = draw(3, 5)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: normkd_loss(s, teacher, temperature=2.0), (student,), fast_mode=True
    )
    normkd_loss(student, teacher, temperature=2.0).backward()
    # the loss does not change with the size of the student's logits, so the gradient is orthogonal to them
    centred = student.detach() - student.detach().mean(1, keepdim=True)
    assert (student.grad * centred).sum(1).abs().max().item() < 1e-12


def test_the_size_of_the_students_logits_does_not_matter_and_the_teachers_weighs_the_sample(draw):
    student, teacher, _ = draw(1, 6)
    once = normkd_loss(student, teacher, temperature=2.0)
    torch.testing.assert_close(normkd_loss(5 * student - 3, teacher, temperature=2.0), once)
    torch.testing.assert_close(normkd_loss(student, 3 * teacher + 7, temperature=2.0), 9 * once)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_equal_logits_are_the_uniform_distribution_and_get_no_gradient(draw, dtype):
    _, teacher, _ = draw(2, 6, dtype=dtype)
    student = torch.full((2, 6), 0.3, dtype=dtype, requires_grad=True)
    loss = normkd_loss(student, teacher, temperature=2.0)
    loss.backward()
    assert loss.item() > 0
    assert torch.equal(student.grad, torch.zeros_like(student))
    assert normkd_loss(teacher, torch.full((2, 6), 0.3, dtype=dtype), temperature=2.0).item() == 0


def test_the_distiller_weighs_its_term(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = NormKD(NormKDOptions(weight=3.0, temperature=1.0), setup)
    expected = 3 * normkd_loss(student, teacher, temperature=1.0)
    torch.testing.assert_close(step(distiller, student, teacher, None), {"normkd": expected})
