"""The formulations that the losses are measured against compute the same; cases run and measure what they say."""

import importlib

import pytest
import torch

from benchmarks import crd, losses
from benchmarks.rounds import measure


@pytest.mark.parametrize("name", losses.LOSSES)
def test_kd_and_the_authors_formulation_agree(name):
    loss = losses.LOSSES[name]
    shape = {None: (5,), 1: (6,), 2: (5, 6), 3: (4, 3, 3)}[loss.shape and len(loss.shape)]
    torch.manual_seed(0)
    student, teacher, scale = torch.randn(8, *shape), torch.randn(8, *shape), torch.rand(shape[0])
    more = [torch.randint(5, (8,))] if loss.labels else [scale] if loss.channels else []
    if loss.given is not None:
        student, teacher = loss.given(student), loss.given(teacher)
    named = {} if loss.more is None else loss.more(shape, 8)
    named = {key: value.double() if value.is_floating_point() else value for key, value in named.items()}
    module, _, function = loss.target.partition(":")
    ours = getattr(importlib.import_module(module), function)
    found, expected = (
        formulation(student.double(), teacher.double(), *more, **loss.options, **named)
        for formulation in (ours, loss.formulation)
    )
    torch.testing.assert_close(found, expected)


def test_time_and_memory_of_a_loss():
    timed = measure(losses.timed("time", "dkd", (10,), batch=4), rounds=2, seconds=1.0, warmup=0)
    assert len(timed.values["kd"]) == 2
    remembered = measure(losses.remembered("memory", "dkd", (1000,), batch=8), rounds=2, seconds=1.0)
    assert remembered.unit == "MiB"
    one, other = remembered.values["kd"]
    # the gradient at least, and no more than some of its size
    assert one == other
    assert 1 <= one / (8 * 1000 * 4 / 2**20) < 12


TINY = crd.Size(samples=60, classes=4, batch=3, negatives=20, dim=8)


def test_crd_is_exact_and_so_is_what_it_is_measured_against():
    case = measure(crd.exactness(TINY), rounds=2, seconds=1.0)
    assert all(max(values) < 1e-4 for values in case.values.values())
    assert max(case.values["kd, all rows"] + case.values["kd, chosen rows"]) < 1e-6


def test_crd_with_and_without_drawing():
    case = measure(crd.losses(TINY), rounds=2, seconds=1.0, warmup=0)
    assert list(case.values) == [crd.PEER, "kd", "kd, all rows", "kd, chosen rows"]
    assert case.name.endswith("kd takes all rows")
    case = measure(crd.drawing(TINY), rounds=2, seconds=1.0, warmup=0)
    assert len(case.values) == 3


def test_crd_updates_the_memories_as_its_peer_does():
    bench, other = crd.Bench(TINY), crd.Bench(TINY)
    bench.step(bench.kd)()
    other.step(other.peer)()
    torch.testing.assert_close(bench.loss.student_memory, other.loss.student_memory)
    torch.testing.assert_close(bench.loss.teacher_memory, other.loss.teacher_memory)
    torch.testing.assert_close(bench.batches[0][0].grad, other.batches[0][0].grad, rtol=1e-4, atol=1e-4)
