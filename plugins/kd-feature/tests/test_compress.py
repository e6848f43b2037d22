from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from kd_feature import CompRess, compress_loss
from kd_feature.options.contrastive import CompRessOptions
from torch.nn import functional as F


def slow(oracle, s, t, student_queue, teacher_queue, temperature):
    total = 0.0
    for ours, theirs in zip(s, t, strict=True):
        p = [oracle.dot(oracle.unit(ours), row) / temperature for row in student_queue]
        q = [oracle.dot(oracle.unit(theirs), row) / temperature for row in teacher_queue]
        log_p, log_q = ([x - math.log(sum(math.exp(y) for y in z)) for x in z] for z in (p, q))
        total += sum(math.exp(b) * (b - a) for a, b in zip(log_p, log_q, strict=True))
    return total / len(s)


@pytest.mark.parametrize("temperature", [0.04, 1.0])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3)])
def test_equals_the_authors_formula(oracle, draw, shape, temperature):
    student, teacher = draw(*shape), draw(shape[0], 6, seed=1)
    queues = draw(7, shape[1], seed=2), draw(7, 6, seed=3)
    expected = slow(
        oracle, student.tolist(), teacher.tolist(), queues[0].tolist(), queues[1].tolist(), temperature
    )
    assert compress_loss(student, teacher, *queues, temperature).item() == pytest.approx(expected, rel=1e-9)


def test_a_value_worked_out_by_hand():
    # the student sees both rows alike, the teacher sees products 1 and 0 at T = 1
    p = math.e / (1 + math.e)
    expected = math.log(2) + p * math.log(p) + (1 - p) * math.log(1 - p)
    value = compress_loss(torch.ones(1, 2), torch.tensor([[1.0, 0, 0]]), torch.eye(2), torch.eye(3)[:2], 1.0)
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(4, 3).requires_grad_(), draw(4, 5, seed=1)
    queues = draw(6, 3, seed=2), draw(6, 5, seed=3)
    assert torch.autograd.gradcheck(lambda s: compress_loss(s, teacher, *queues, 0.3), (student,))


def test_each_model_has_a_queue_of_its_own_that_the_batch_enters_afterwards(make_setup, output, step):
    setup = make_setup()
    distiller = CompRess(CompRessOptions(weight=2.0, queue=6), setup)
    assert not list(distiller.parameters())
    queues = [distiller.student_queue.rows.clone(), distiller.teacher_queue.rows.clone()]
    assert [list(one.shape) for one in queues] == [[6, 10], [6, 14]]
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    term = step(distiller, student, teacher)["compress"]
    torch.testing.assert_close(term, 2 * compress_loss(student.embedding, teacher.embedding, *queues))
    for queue, one in ((distiller.student_queue, student), (distiller.teacher_queue, teacher)):
        torch.testing.assert_close(queue.rows[:4], F.normalize(one.embedding, dim=1))
    # the write position is part of the state
    assert distiller.state_dict()["student_queue.position"].item() == 4


def test_queues_of_other_samples_are_refused(draw):
    with pytest.raises(ValueError, match="6 rows, teacher_queue 7"):
        compress_loss(draw(4, 3), draw(4, 5), draw(6, 3), draw(7, 5))


def test_the_average_of_the_student_fills_its_queue(make_setup, output, step):
    setup = make_setup()
    distiller = CompRess(CompRessOptions(queue=6, momentum=0.999), setup)
    assert distiller.requires.student_pass
    assert distiller.requires.student_momentum == 0.999
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    average = output(setup.student, (), seed=2)
    before = distiller.student_queue.rows.clone(), distiller.teacher_queue.rows.clone()

    def again(images, *, ema):
        assert ema
        return average

    term = step(distiller, replace(student, student_pass=again), teacher)["compress"]
    torch.testing.assert_close(term, compress_loss(student.embedding, teacher.embedding, *before))
    torch.testing.assert_close(distiller.student_queue.rows[:4], F.normalize(average.embedding, dim=1))
    with pytest.raises(ValueError, match="average of the student"):
        step(distiller, student, teacher)
