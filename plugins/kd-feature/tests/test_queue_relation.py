from __future__ import annotations

import math

import pytest
import torch
from kd_feature import QueueRelation, lightly_global_loss
from kd_feature.options.contrastive import QueueRelationOptions


def slow(oracle, s, t, queue, temperature):
    total = 0.0
    for ours, theirs in zip(s, t, strict=True):
        p, q = ([oracle.dot(oracle.unit(x), row) / temperature for row in queue] for x in (ours, theirs))
        log_p, log_q = ([x - math.log(sum(math.exp(y) for y in z)) for x in z] for z in (p, q))
        total += sum(math.exp(b) * (b - a) for a, b in zip(log_p, log_q, strict=True))
    return total / len(s)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 8)])
def test_equals_the_formula(oracle, draw, shape, temperature):
    student, teacher, queue = draw(*shape), draw(*shape, seed=1), draw(6, shape[1], seed=2)
    queue[4:] = 0
    expected = slow(oracle, student.tolist(), teacher.tolist(), queue.tolist(), temperature)
    value = lightly_global_loss(student, teacher, queue, temperature)
    assert value.item() == pytest.approx(expected, rel=1e-10)


def test_rows_of_zeros_are_classes_too():
    # products 1 and 0 of the teacher, 0 and 0 of the student, T = 1: log 2 - H(e / (1 + e))
    queue = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double()
    p = math.e / (1 + math.e)
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    value = lightly_global_loss(
        torch.tensor([[0.0, 7.0]]).double(), torch.tensor([[3.0, 0.0]]).double(), queue, 1.0
    )
    assert value.item() == pytest.approx(math.log(2) - entropy)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher, queue = draw(4, 3).requires_grad_(), draw(4, 3, seed=1), draw(6, 3, seed=2)
    assert torch.autograd.gradcheck(lambda s: lightly_global_loss(s, teacher, queue, 0.3), (student,))


def test_the_distiller_fills_its_queue_first(make_setup, output, step):
    setup = make_setup(train_size=40)
    distiller = QueueRelation(QueueRelationOptions(weight=2.0), setup)
    assert len(distiller.queue.rows) == 16
    assert distiller.projection.weight.std().item() < 0.03
    assert distiller.projection.bias.abs().sum() == 0
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    term = step(distiller, student, teacher)["queue_relation"]
    rows = torch.zeros(16, 14)
    rows[:4] = torch.nn.functional.normalize(teacher.embedding, dim=1)
    torch.testing.assert_close(distiller.queue.rows, rows)
    expected = lightly_global_loss(distiller.projection(student.embedding), teacher.embedding, rows)
    torch.testing.assert_close(term, 2 * expected)
    # what the student's embedding does not move is 0: the teacher's own
    assert lightly_global_loss(teacher.embedding, teacher.embedding, rows).item() == pytest.approx(
        0, abs=1e-7
    )
