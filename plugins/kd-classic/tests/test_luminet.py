from __future__ import annotations

import math

import pytest
import torch
from kd_classic import LumiNet, luminet_loss
from kd_classic.options.softened import LumiNetOptions

from kdcore import Requires


def slow(oracle, student, teacher, temperature):
    def perceived(rows):
        columns = []
        for column in zip(*rows, strict=True):
            mean = oracle.mean(column)
            variance = oracle.mean([(value - mean) ** 2 for value in column])
            columns.append([(value - mean) / math.sqrt(variance + 1e-5) for value in column])
        return [list(row) for row in zip(*columns, strict=True)]

    rows = zip(perceived(student.tolist()), perceived(teacher.tolist()), strict=True)
    return oracle.mean(
        [oracle.kl(oracle.softmax(t, temperature), oracle.softmax(s, temperature)) for s, t in rows]
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("samples", "classes"), [(2, 2), (5, 7), (3, 300)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    expected = slow(oracle, student, teacher, temperature)
    assert luminet_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, _ = draw(4, 5)
    assert torch.autograd.gradcheck(
        lambda s: luminet_loss(s, teacher, temperature=4.0), (student.requires_grad_(),), fast_mode=True
    )


def test_a_constant_of_a_class_over_the_batch_does_not_matter(draw):
    student, teacher, _ = draw(4, 5)
    shift = torch.arange(5.0).double()
    torch.testing.assert_close(
        luminet_loss(student + shift, teacher - 2 * shift, temperature=4.0),
        luminet_loss(student, teacher, temperature=4.0),
    )


def test_a_batch_of_one_has_no_statistics(draw):
    student, teacher, _ = draw(1, 5)
    student.requires_grad_()
    loss = luminet_loss(student, teacher, temperature=4.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_the_distiller_asks_for_the_whole_batch(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    distiller = LumiNet(LumiNetOptions(weight=3.0, temperature=2.0), setup)
    assert distiller.requires == Requires(whole_batch=True, unlabelled="given")
    expected = 3 * luminet_loss(student, teacher, temperature=2.0)
    torch.testing.assert_close(step(distiller, student, teacher, None), {"luminet": expected})
