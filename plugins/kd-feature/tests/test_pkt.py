from __future__ import annotations

import math

import pytest
import torch
from kd_feature import PKT, pkt_loss
from kd_feature.options.relations import PKTOptions

from kdcore import Requires

SHAPES = [((2, 3), (2, 5)), ((6, 4), (6, 2)), ((3, 2, 2, 2), (3, 4, 1, 1)), ((1, 3), (1, 2))]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_equals_the_papers_formula(oracle, draw, student_shape, teacher_shape):
    student, teacher = draw(*student_shape), draw(*teacher_shape, seed=1)
    expected = oracle.pkt(student.tolist(), teacher.tolist())
    assert pkt_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert pkt_loss(student.float(), teacher.float()).item() == pytest.approx(expected, rel=1e-3, abs=1e-8)


def test_a_value_worked_out_by_hand():
    # Teacher: equal vectors, all cosines 1: 1/2, 1/2. Student: at a right angle, 1 and 1/2: 2/3, 1/3.
    student, teacher = torch.eye(2, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    expected = (0.5 * math.log(0.75) + 0.5 * math.log(1.5)) / 2
    assert pkt_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: pkt_loss(s, teacher), (student,))


def test_opposite_vectors_and_zero_vectors(draw):
    # cosines of -1, which rounding can take below, and of nothing
    student = draw(6, 100, dtype=torch.float32)
    student[3:] = -3 * student[:3]
    student[0] = 0
    student.requires_grad_()
    for teacher in (student.detach().clone(), -student.detach(), torch.zeros(6, 2)):
        value = pkt_loss(student, teacher)
        (gradient,) = torch.autograd.grad(value, student)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_a_cosine_that_rounding_takes_below_minus_one():
    for seed in range(60, 70):  # 64 is one of few that do
        one = torch.randn(1, 4096, generator=torch.Generator().manual_seed(seed)).abs()
        student = torch.cat([one, -one]).requires_grad_()
        value = pkt_loss(student, torch.ones(2, 1))
        value.backward()
        assert value.isfinite()
        assert student.grad.isfinite().all()


def test_the_distiller_weighs_its_term(make_setup, output, step):
    setup = make_setup()
    distiller = PKT(PKTOptions(), setup)
    assert distiller.requires == Requires(
        student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
    )
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    expected = 30_000 * pkt_loss(student.embedding, teacher.embedding)
    torch.testing.assert_close(step(distiller, student, teacher), {"pkt": expected})
