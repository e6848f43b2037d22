from __future__ import annotations

import pytest
import torch
from kd_feature import AT, at_loss
from kd_feature.options.maps import ATOptions

from kdcore import Requires

SHAPES = [
    ((2, 3, 4, 4), (2, 5, 4, 4)),
    ((3, 2, 6, 6), (3, 4, 3, 3)),
    ((3, 2, 3, 3), (3, 4, 7, 7)),
    ((2, 2, 4, 7), (2, 3, 5, 3)),
    ((1, 1, 1, 1), (1, 2, 2, 2)),
]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_equals_the_papers_formula(oracle, draw, student_shape, teacher_shape):
    student, teacher = draw(*student_shape), draw(*teacher_shape, seed=1)
    expected = oracle.at(student.tolist(), teacher.tolist(), 2.0)
    assert at_loss(student, teacher).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_a_value_worked_out_by_hand():
    # Student: mean squares over two channels (9 + 7) / 2 = 8 and (1 + 11) / 2 = 6, over their norm 10: 0.8, 0.6.
    student = torch.tensor([[[[3.0, 1.0]], [[7.0, 11.0]]]]).sqrt()
    student[0, 0, 0, 0], student[0, 0, 0, 1] = 3.0, 1.0
    # Teacher: squares 0 and 25, so 0 and 1. Squared differences 0.64 and 0.16.
    teacher = torch.tensor([[[[0.0, 5.0]]]])
    assert at_loss(student, teacher).item() == pytest.approx(0.4)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 4, 4).requires_grad_(), draw(2, 2, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: at_loss(s, teacher), (student,))


def test_a_map_without_activity_gives_no_gradient(draw):
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = at_loss(student, draw(2, 3, 4, 4, dtype=torch.float32))
    value.backward()
    # the student's attention is 0, the teacher's a unit vector of 16 places
    assert value.item() == pytest.approx(1 / 16)
    assert student.grad.abs().max() == 0


def test_other_than_maps_are_refused(draw):
    with pytest.raises(ValueError, match=r"student_features has shape \[2, 3\]; it must be \[B, C, H, W\]"):
        at_loss(draw(2, 3), draw(2, 3, 1, 1))


@pytest.mark.parametrize(
    "pair", [("cnn", "wide"), ("fine", "cnn"), ("cnn", "vit"), ("vit", "oblong")], ids="-".join
)
def test_the_distiller_adds_up_its_stages(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = AT(ATOptions(weight=7.0), setup)
    assert distiller.requires == Requires(
        student_stages=(1, 2, 3, 4), teacher_stages=(1, 2, 3, 4), teacher_logits=False
    )
    student, teacher = output(setup.student, (1, 2, 3, 4)), output(setup.teacher, (1, 2, 3, 4), seed=1)
    terms = step(distiller, student, teacher)
    expected = sum(at_loss(student.features[s].map, teacher.features[s].map) for s in (1, 2, 3, 4))
    assert list(terms) == ["at"]
    torch.testing.assert_close(terms["at"], 7 * expected)


@pytest.mark.parametrize("power", [1.0, 3.0, 4.0])
def test_the_distillers_options(oracle, make_setup, output, step, power):
    setup = make_setup()
    distiller = AT(ATOptions(weight=1.0, stages=((1, 2),), power=power), setup)
    student, teacher = output(setup.student, (1,)), output(setup.teacher, (2,), seed=1)
    expected = oracle.at(student.features[1].map.tolist(), teacher.features[2].map.tolist(), power)
    assert step(distiller, student, teacher)["at"].item() == pytest.approx(expected, rel=1e-5)
