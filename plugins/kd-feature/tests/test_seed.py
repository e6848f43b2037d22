from __future__ import annotations

import math

import pytest
import torch
from kd_feature import SEED, seed_loss
from kd_feature.options.contrastive import SEEDOptions
from torch.nn import functional as F


def slow(oracle, s, t, queue, student_temperature, teacher_temperature):
    total = 0.0
    for ours, theirs in zip(s, t, strict=True):
        ours, theirs = oracle.unit(ours), oracle.unit(theirs)
        p = [oracle.dot(ours, row) / student_temperature for row in (theirs, *queue)]
        q = [oracle.dot(theirs, row) / teacher_temperature for row in (theirs, *queue)]
        log_p = [x - math.log(sum(math.exp(y) for y in p)) for x in p]
        top = max(q)
        weights = [math.exp(x - top) for x in q]
        total -= sum(b * a for a, b in zip(log_p, weights, strict=True)) / sum(weights)
    return total / len(s)


@pytest.mark.parametrize("temperatures", [(0.2, 1e-4), (1.0, 0.3)])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 8)])
def test_equals_the_authors_formula(oracle, draw, shape, temperatures):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    queue = F.normalize(draw(6, shape[1], seed=2), dim=1)
    expected = slow(oracle, student.tolist(), teacher.tolist(), queue.tolist(), *temperatures)
    assert seed_loss(student, teacher, queue, *temperatures).item() == pytest.approx(expected, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # nearly all of the target is the own sample; the student's similarities are 1 to it and 0 to the queue's row
    queue = torch.tensor([[0.0, 1.0]]).double()
    embedding = torch.tensor([[5.0, 0.0]]).double()
    assert seed_loss(embedding, embedding, queue).item() == pytest.approx(math.log1p(math.exp(-5)))


def test_the_gradient_is_that_of_the_formula_also_in_parts(draw, monkeypatch):
    student, teacher, queue = draw(4, 3).requires_grad_(), draw(4, 3, seed=1), draw(6, 3, seed=2)
    assert torch.autograd.gradcheck(lambda s: seed_loss(s, teacher, queue, 0.5, 0.4), (student,))
    whole = torch.autograd.grad(seed_loss(student, teacher, queue), student)
    monkeypatch.setattr("kd_feature.gradient_in_forward.AT_ONCE", 1)
    torch.testing.assert_close(torch.autograd.grad(seed_loss(student, teacher, queue), student), whole)


def test_the_batch_goes_into_the_queue_after_its_loss(make_setup, output, step):
    setup = make_setup()
    distiller = SEED(SEEDOptions(weight=2.0, queue=6), setup)
    before = distiller.queue.rows.clone()
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    term = step(distiller, student, teacher)["seed"]
    expected = 2 * seed_loss(distiller.head(student.embedding), teacher.embedding, before)
    torch.testing.assert_close(term, expected)
    torch.testing.assert_close(distiller.queue.rows[:4], F.normalize(teacher.embedding, dim=1))
    assert [type(one).__name__ for one in distiller.head] == ["Linear", "ReLU", "Linear"]
