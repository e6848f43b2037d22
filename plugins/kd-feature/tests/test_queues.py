from __future__ import annotations

import copy

import pytest
import torch
from kd_feature import RRD, SEED, CompRess, QueueRelation, TokenRelation
from kd_feature.options.contrastive import (
    CompRessOptions,
    QueueRelationOptions,
    RRDOptions,
    SEEDOptions,
)
from kd_feature.options.relations import TokenRelationOptions
from kd_feature.queue_relation import automatic_size
from kd_feature.queues import Queue


def test_the_oldest_rows_are_overwritten_in_a_circle(draw):
    queue = Queue(5, 2, "zeros")
    rows = draw(7, 2).float()
    queue.push(rows[:3])
    assert torch.equal(queue.rows, torch.cat([rows[:3], torch.zeros(2, 2)]))
    queue.push(rows[3:7])
    assert torch.equal(queue.rows, rows[[5, 6, 2, 3, 4]])
    assert queue.position.item() == 2


def test_of_a_batch_that_is_too_large_the_first_rows_are_kept(draw):
    queue = Queue(3, 2, "unit")
    queue.push(draw(5, 2))
    assert torch.equal(queue.rows, draw(5, 2)[:3].float())


@pytest.mark.parametrize(("start", "length"), [("zeros", 0.0), ("unit", 1.0), ("uniform", 1.0)])
def test_the_first_rows(start, length):
    torch.manual_seed(0)
    rows = Queue(2000, 12, start).rows
    assert rows.square().sum(1).mean().item() == pytest.approx(length, abs=0.02)
    if start == "unit":  # row by row, not column by column
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(2000))


@pytest.mark.parametrize(
    ("train_size", "rows"),
    [(0, 8192), (3, 16), (64, 32), (100, 32), (50_000, 8192), (20_000, 8192), (16_000, 4096)],
)
def test_the_automatic_size_is_a_quarter_to_a_half_of_the_data(train_size, rows):
    assert automatic_size(train_size) == rows


DISTILLERS = {
    "rrd": (RRD, RRDOptions(queue=6, dim=4)),
    "seed": (SEED, SEEDOptions(queue=6)),
    "compress": (CompRess, CompRessOptions(queue=6)),
    "queue-relation": (QueueRelation, QueueRelationOptions(queue=6)),
    "token-relation": (TokenRelation, TokenRelationOptions(queue=6)),
}


@pytest.mark.parametrize(("kind", "options"), DISTILLERS.values(), ids=DISTILLERS)
def test_a_resumed_queue_continues_to_the_bit(make_setup, output, step, kind, options):
    setup = make_setup()
    distiller = kind(options, setup)
    stages = distiller.requires.student_stages

    def term(seed, of):
        student = output(setup.student, stages, seed=seed)
        teacher = output(setup.teacher, distiller.requires.teacher_stages, seed=seed + 100)
        return torch.stack(list(step(of, student, teacher).values()))

    for seed in range(3):
        term(seed, distiller)
    saved = copy.deepcopy(distiller.state_dict())
    resumed = kind(options, make_setup(seed=1))
    resumed.load_state_dict(saved)
    for seed in range(3, 6):
        assert torch.equal(term(seed, resumed), term(seed, distiller))
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, distiller.state_dict()[name])


@pytest.mark.parametrize(("kind", "options"), DISTILLERS.values(), ids=DISTILLERS)
def test_the_queue_may_change_between_forward_and_backward(make_setup, output, step, kind, options):
    setup = make_setup()
    distiller = kind(options, setup)
    student = output(setup.student, distiller.requires.student_stages, grad=True)
    teacher = output(setup.teacher, distiller.requires.teacher_stages, seed=1)
    terms = step(distiller, student, teacher)
    step(distiller, student, teacher)
    sum(terms.values()).backward()
    assert student.embedding.grad.isfinite().all()
    assert student.embedding.grad.abs().sum() > 0
