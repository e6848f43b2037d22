from __future__ import annotations

import math

import pytest
import torch
from kd_feature import RRD, rrd_loss
from kd_feature.options.contrastive import RRDOptions


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(x - top) for x in scores]
    return [x / sum(powers) for x in powers]


def slow(oracle, s, t, queue, student_temperature, teacher_temperature):
    total = 0.0
    for ours, theirs in zip(s, t, strict=True):
        ours, theirs = oracle.unit(ours), oracle.unit(theirs)
        p = softmax([oracle.dot(ours, row) / student_temperature for row in queue])
        q = softmax([oracle.dot(theirs, row) / teacher_temperature for row in queue])
        total -= sum(b * math.log(a) for a, b in zip(p, q, strict=True))
    return total / len(s)


@pytest.mark.parametrize("temperatures", [(0.1, 0.02), (1.0, 0.5)])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 8)])
def test_equals_the_authors_formula(oracle, draw, shape, temperatures):
    student, teacher, queue = draw(*shape), draw(*shape, seed=1), draw(6, shape[1], seed=2)
    expected = slow(oracle, student.tolist(), teacher.tolist(), queue.tolist(), *temperatures)
    assert rrd_loss(student, teacher, queue, *temperatures).item() == pytest.approx(expected, rel=1e-10)


def test_a_value_worked_out_by_hand():
    # the student is between both rows; the teacher is sure of the first one: log 2
    queue = torch.eye(2).double()
    value = rrd_loss(torch.tensor([[3.0, 3.0]]).double(), torch.tensor([[9.0, 0.0]]).double(), queue)
    assert value.item() == pytest.approx(math.log(2))


def test_the_gradient_is_that_of_the_formula_also_in_parts(draw, monkeypatch):
    student, teacher, queue = draw(5, 3).requires_grad_(), draw(5, 3, seed=1), draw(6, 3, seed=2)
    assert torch.autograd.gradcheck(lambda s: rrd_loss(s, teacher, queue), (student,))
    (whole,) = torch.autograd.grad(rrd_loss(student, teacher, queue), student)
    monkeypatch.setattr("kd_feature.gradient_in_forward.AT_ONCE", 12)  # two samples at once
    (parts,) = torch.autograd.grad(rrd_loss(student, teacher, queue), student)
    torch.testing.assert_close(parts, whole)


def test_queues_that_do_not_fit_are_refused(draw):
    for queue in (draw(6, 4), draw(6), draw(0, 3)):
        with pytest.raises(ValueError, match=r"the queue has the shape .* must be \[K, 3\]"):
            rrd_loss(draw(5, 3), draw(5, 3), queue)


def test_the_batch_is_in_the_queue_before_its_loss(make_setup, output, step):
    setup = make_setup()
    distiller = RRD(RRDOptions(weight=2.0, dim=5, queue=10), setup)
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    term = step(distiller, student, teacher)["rrd"]
    of_teacher = distiller.teacher_head(teacher.embedding)
    torch.testing.assert_close(distiller.queue.rows[:4], torch.nn.functional.normalize(of_teacher, dim=1))
    expected = rrd_loss(distiller.student_head(student.embedding), of_teacher, distiller.queue.rows)
    torch.testing.assert_close(term, 2 * expected)


def test_the_teachers_projection_is_random_and_frozen(make_setup, output, step):
    setup = make_setup()
    distiller = RRD(RRDOptions(), setup)
    assert [name for name, one in distiller.named_parameters() if not one.requires_grad] == [
        "teacher_head.weight",
        "teacher_head.bias",
    ]
    assert {"teacher_head.weight", "queue.rows", "queue.position"} <= set(distiller.state_dict())
    student = output(setup.student, (), grad=True)
    step(distiller, student, output(setup.teacher, (), seed=1))["rrd"].backward()
    assert distiller.teacher_head.weight.grad is None
    assert student.embedding.grad.abs().sum() > 0


def test_the_queue_starts_with_unit_rows_and_is_no_longer_than_the_training_set(make_setup, caplog):
    distiller = RRD(RRDOptions(), make_setup(train_size=40))
    torch.testing.assert_close(distiller.queue.rows.norm(dim=1), torch.ones(40))
    assert "a queue of 40 instead of 16384 rows" in caplog.text
    assert len(RRD(RRDOptions(), make_setup(train_size=0)).queue.rows) == 16384  # a stream


def test_the_number_of_parameters_of_the_heads(make_setup, model):
    dims = (model("cnn").embedding_dim, model("wide").embedding_dim)
    distiller = RRD(RRDOptions(), make_setup())
    assert sum(one.numel() for one in distiller.parameters()) == sum(128 * dim + 128 for dim in dims)
