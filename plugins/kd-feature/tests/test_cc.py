from __future__ import annotations

import pytest
import torch
from kd_feature import CC, cc_loss
from kd_feature.options.relations import CCOptions

from kdcore import Requires


@pytest.mark.parametrize("shape", [(2, 3), (5, 4), (6, 1)])
def test_equals_the_authors_formula(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    expected = oracle.cc(student.tolist(), teacher.tolist())
    assert cc_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # |differences| (1, 2), (3, 0), (1, 1): products 3 + 0 and 3 + 0, mean 3
    student, teacher = (
        torch.tensor([[1.0, 0.0], [0.0, 5.0], [2.0, 2.0]]),
        torch.tensor([[0.0, 2.0], [3.0, 5.0], [1.0, 1.0]]),
    )
    assert cc_loss(student, teacher).item() == 3


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: cc_loss(s, teacher), (student,))


def test_one_sample_has_no_neighbour(draw):
    student = draw(1, 3).requires_grad_()
    value = cc_loss(student, draw(1, 3, seed=1))
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().sum() == 0


def test_features_of_two_shapes_are_refused(draw):
    with pytest.raises(ValueError, match="element by element"):
        cc_loss(draw(2, 3), draw(2, 4))
    with pytest.raises(ValueError, match=r"must be \[B, D\]"):
        cc_loss(draw(2, 3, 1, 1), draw(2, 3, 1, 1))


def test_the_distiller_compares_through_two_heads(make_setup, output, step):
    setup = make_setup()
    distiller = CC(CCOptions(weight=2.0, dim=3), setup)
    assert distiller.requires == Requires(
        student_embedding=True, teacher_embedding=True, whole_batch=True, teacher_logits=False
    )
    assert distiller.student_head.weight.shape == (3, 10)
    assert distiller.teacher_head.weight.shape == (3, 14)
    student, teacher = output(setup.student, (), grad=True), output(setup.teacher, (), seed=1, grad=True)
    terms = step(distiller, student, teacher)
    heads = distiller.student_head(student.embedding), distiller.teacher_head(teacher.embedding)
    torch.testing.assert_close(terms, {"cc": 2 * cc_loss(*heads)})
    terms["cc"].backward()
    # both heads are trained, as in RepDistiller; the teacher is not
    assert all(parameter.grad.abs().sum() > 0 for parameter in distiller.parameters())
    assert student.embedding.grad.abs().sum() > 0
    assert teacher.embedding.grad is None
