from __future__ import annotations

import pytest
import torch
from kd_feature import SP, sp_loss
from kd_feature.options.relations import SPOptions

from kdcore import Requires

SHAPES = [((2, 3), (2, 5)), ((4, 2, 2, 2), (4, 3, 5, 5)), ((1, 3), (1, 2))]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_equals_the_papers_formula(oracle, draw, student_shape, teacher_shape):
    student, teacher = draw(*student_shape), draw(*teacher_shape, seed=1)
    expected = oracle.sp(student.tolist(), teacher.tolist())
    assert sp_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_a_value_worked_out_by_hand():
    # Student: products [[1, 0], [0, 1]]. Teacher: [[1, 1], [1, 1]], rows (1, 1) / sqrt 2.
    student, teacher = torch.eye(2), torch.ones(2, 1)
    half = 0.5**0.5
    assert sp_loss(student, teacher).item() == pytest.approx(((1 - half) ** 2 + half**2) / 2)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: sp_loss(s, teacher), (student,))


def test_the_row_of_a_sample_of_zeros_gives_no_gradient(draw):
    student, teacher = draw(4, 3), draw(4, 5, seed=1)
    student[1] = 0
    (found,) = torch.autograd.grad(sp_loss(student.requires_grad_(), teacher), student)
    rows = [
        (row / row.norm() - wanted / wanted.norm()).square().sum() / 16
        for row, wanted in zip(student @ student.T, teacher @ teacher.T, strict=True)
    ]
    (expected,) = torch.autograd.grad(rows[0] + rows[2] + rows[3], student)
    torch.testing.assert_close(found, expected)


def test_the_distiller_reads_the_last_map_of_the_whole_batch(make_setup, output, step):
    setup = make_setup("vit", "wide")
    distiller = SP(SPOptions(), setup)
    assert distiller.requires == Requires(
        student_stages=(4,), teacher_stages=(4,), whole_batch=True, teacher_logits=False
    )
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    expected = 3000 * sp_loss(student.features[4].map, teacher.features[4].map)
    torch.testing.assert_close(step(distiller, student, teacher), {"sp": expected})
