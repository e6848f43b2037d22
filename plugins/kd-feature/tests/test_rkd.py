from __future__ import annotations

import math

import pytest
import torch
from kd_feature import RKD, rkd, rkd_angle_loss, rkd_distance_loss
from kd_feature.options.relations import RKDOptions

from kdcore import Requires

SHAPES = [((2, 3), (2, 5)), ((5, 4), (5, 4)), ((6, 2), (6, 9)), ((3, 2, 2, 2), (3, 4, 1, 1))]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SHAPES)
def test_equals_the_papers_formula(oracle, draw, student_shape, teacher_shape):
    student, teacher = draw(*student_shape), draw(*teacher_shape, seed=1)
    distance, angle = (f(student.tolist(), teacher.tolist()) for f in (oracle.distance, oracle.angle))
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(distance, rel=1e-9)
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(angle, rel=1e-9)
    assert rkd_distance_loss(student.float(), teacher.float()).item() == pytest.approx(distance, rel=1e-5)
    assert rkd_angle_loss(student.float(), teacher.float()).item() == pytest.approx(angle, rel=1e-5)


def test_values_worked_out_by_hand():
    # Student: 0, 3, 4i: distances 3, 4, 5, mean 4. Teacher: 0, 1, 2 on a line: distances 1, 2, 1, mean 4/3.
    student = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    teacher = torch.tensor([[0.0], [1.0], [2.0]])
    # over the means 3/4, 1, 5/4 against 3/4, 3/2, 3/4: differences 0, 1/2, 1/2, squares 1/4, twice, over 9
    assert rkd_distance_loss(student, teacher).item() == pytest.approx(2 * (0.125 + 0.125) / 9)
    # Cosines towards two different samples. Student: 0 at the first, 3/5 at the second, 4/5 at the third.
    # Teacher: 1, -1, 1. Differences 1 (0.5), 8/5 (1.1) and 1/5 (0.02), each twice, over 27.
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(2 * (0.5 + 1.1 + 0.02) / 27)


@pytest.mark.parametrize("loss", [rkd_distance_loss, rkd_angle_loss])
def test_the_gradient_is_that_of_the_formula(draw, loss):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))


def test_many_angles_are_computed_in_parts(draw, monkeypatch, oracle):
    student, teacher = draw(5, 3).requires_grad_(), draw(5, 4, seed=1)
    whole = rkd_angle_loss(student, teacher)
    (gradient,) = torch.autograd.grad(whole, student)
    monkeypatch.setattr(rkd, "AT_ONCE", 50)  # two anchors at once
    parts = rkd_angle_loss(student, teacher)
    assert parts.item() == pytest.approx(oracle.angle(student.tolist(), teacher.tolist()), rel=1e-9)
    torch.testing.assert_close(torch.autograd.grad(parts, student)[0], gradient)
    monkeypatch.setattr(rkd, "AT_ONCE", 1)
    torch.testing.assert_close(rkd_angle_loss(student, teacher), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [rkd_distance_loss, rkd_angle_loss])
def test_equal_samples_give_finite_values_and_gradients(oracle, draw, loss, dtype):
    student, teacher = draw(5, 7), draw(5, 6, seed=1)
    student[3] = student[1]
    teacher[4] = teacher[0]
    inputs = student.to(dtype).requires_grad_()
    value = loss(inputs, teacher.to(dtype))
    slow = oracle.distance if loss is rkd_distance_loss else oracle.angle
    assert value.item() == pytest.approx(slow(student.tolist(), teacher.tolist()), rel=1e-5)
    value.backward()
    assert inputs.grad.isfinite().all()
    assert inputs.grad.abs().max() < 10


@pytest.mark.parametrize("loss", [rkd_distance_loss, rkd_angle_loss])
def test_all_samples_equal(loss, draw):
    student = torch.full((4, 3), 0.1).requires_grad_()
    value = loss(student, draw(4, 3, dtype=torch.float32))
    value.backward()
    assert value.isfinite()
    assert student.grad.abs().max() == 0
    assert loss(draw(4, 3, dtype=torch.float32), torch.zeros(4, 2)).isfinite()


@pytest.mark.parametrize("loss", [rkd_distance_loss, rkd_angle_loss])
def test_one_sample_has_no_relation(loss, draw):
    student = draw(1, 3).requires_grad_()
    value = loss(student, draw(1, 4))
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().sum() == 0


def test_near_samples_far_from_the_origin(oracle, draw):
    # differences of 0.01 around 1000: products of float32 would lose them all
    student = (1000 + 0.01 * draw(4, 8)).float()
    teacher = draw(4, 8, seed=1)
    for loss, slow in ((rkd_distance_loss, oracle.distance), (rkd_angle_loss, oracle.angle)):
        expected = slow(student.double().tolist(), teacher.tolist())
        assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_two_samples_that_are_almost_one(oracle, draw):
    # at a distance of 1e-4 between others of 4: the direction from one to the other is lost in float32 products
    student, teacher = draw(5, 8).float(), draw(5, 8, seed=1)
    student[3] = student[1] + 1e-4 * draw(8, seed=2).float()
    expected = oracle.angle(student.double().tolist(), teacher.tolist())
    assert rkd_angle_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_the_distiller_weighs_its_terms(make_setup, output, step):
    setup = make_setup()
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    terms = step(RKD(RKDOptions(weight=2.0), setup), student, teacher)
    assert list(terms) == ["distance", "angle"]
    pair = (student.embedding, teacher.embedding)
    torch.testing.assert_close(terms["distance"], 50 * rkd_distance_loss(*pair))
    torch.testing.assert_close(terms["angle"], 100 * rkd_angle_loss(*pair))
    assert math.isclose(sum(terms.values()).item(), sum(term.item() for term in terms.values()), rel_tol=1e-6)
    assert list(step(RKD(RKDOptions(angle_weight=0), setup), student, teacher)) == ["distance"]
    assert list(step(RKD(RKDOptions(distance_weight=0), setup), student, teacher)) == ["angle"]


def test_the_distiller_reads_the_embeddings_of_the_whole_batch(make_setup, output, step):
    setup = make_setup()
    distiller = RKD(RKDOptions(), setup)
    assert distiller.requires == Requires(
        student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
    )
    assert not list(distiller.parameters())
    with pytest.raises(ValueError, match="the student's is missing"):
        step(distiller, output(setup.student, (), embedding=False), output(setup.teacher, ()))
