from __future__ import annotations

import math

import pytest
import torch
from kd_feature import PAD, pad_loss
from kd_feature.options.embeddings import PADOptions
from torch.nn import functional as F


@pytest.mark.parametrize("eps", [1e-6, 0.5])
@pytest.mark.parametrize("shape", [(1, 3), (4, 5)])
def test_equals_the_formula(draw, shape, eps):
    student, teacher, log_variance = (draw(*shape, seed=seed) for seed in range(3))
    rows = zip(*(one.flatten().tolist() for one in (student, teacher, log_variance)), strict=True)
    terms = [(s - t) ** 2 / (eps + math.exp(v)) + v for s, t, v in rows]
    value = pad_loss(student, teacher, log_variance, eps)
    assert value.item() == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_a_value_worked_out_by_hand():
    # variances 1 and e^2, differences 2 and 0: (4 / 1 + 0 + 0 + 2) / 2
    value = pad_loss(torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]]))
    assert value.item() == pytest.approx(3, rel=1e-5)


def test_the_gradient_goes_to_the_student_and_to_the_variance(draw):
    student, log_variance = draw(4, 3).requires_grad_(), draw(4, 3, seed=2).requires_grad_()
    teacher = draw(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s, v: pad_loss(s, teacher, v), (student, log_variance))


def test_a_variance_at_its_end(draw):
    log_variance = torch.tensor([[-1e4, -20.0, 100.0, 1e4]]).requires_grad_()
    value = pad_loss(torch.ones(1, 4), torch.zeros(1, 4), log_variance)
    value.backward()
    assert value.isfinite()
    # where exp(v) is far below eps the slope is 1: of v alone
    torch.testing.assert_close(log_variance.grad[0, [0, 2, 3]] * 4, torch.ones(3))


@pytest.mark.parametrize(("teacher_name", "projected"), [("wide", True), ("cnn", False)])
def test_the_distiller_predicts_the_variance_from_the_student(
    make_setup, output, step, teacher_name, projected
):
    setup = make_setup("cnn", teacher_name)
    distiller = PAD(PADOptions(weight=2.0), setup)
    assert isinstance(distiller.projection, torch.nn.Linear) == projected
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    seen = distiller.projection(student.embedding)
    linear, norm = distiller.log_variance
    log_variance = F.batch_norm(linear(seen), None, None, norm.weight, norm.bias, training=True)
    expected = 2 * pad_loss(seen, teacher.embedding, log_variance)
    torch.testing.assert_close(step(distiller, student, teacher)["pad"], expected)


def test_wrong_arguments_are_refused(draw):
    with pytest.raises(ValueError, match="eps"):
        pad_loss(draw(3, 2), draw(3, 2), draw(3, 2), eps=0)
    with pytest.raises(ValueError, match="element by element"):
        pad_loss(draw(3, 2), draw(3, 2), draw(2))
