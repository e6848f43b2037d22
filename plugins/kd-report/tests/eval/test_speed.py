"""What is timed and how often; how long it takes is the machine's business."""

from __future__ import annotations

import pytest
import torch
from kd_report.eval import speed
from kd_report.eval.speed import Racer, machine, measure
from torch import nn

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Remembers the batches that it was called on, and who was called before."""

    def __init__(self, log, name):
        super().__init__()
        self.log, self.name = log, name

    def forward(self, images):
        if images.device.type != "meta":
            self.log.append((self.name, tuple(images.shape)))
        return images * 2


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is 10 ms later."""
    now = [0.0]

    def tick():
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(speed.time, "perf_counter", tick)


def test_medians_with_quartiles(clock):
    log = []
    (found,) = measure([Racer(Counting(log, "a"), (3, 4, 4))], 8, CPU)
    assert found.batch_size == 8
    assert found.milliseconds == pytest.approx(10)
    assert found.quartiles == pytest.approx((10, 10))
    assert found.milliseconds_per_image == pytest.approx(10 / 8)
    assert found.images_per_second == pytest.approx(800)
    assert found.memory_bytes == 8 * 3 * 4 * 4 * 4
    assert found.passes == 50
    assert {shape for _, shape in log} == {(8, 3, 4, 4)}
    assert len(log) > found.passes  # the warm-up is not timed


def test_models_take_turns(clock):
    log = []
    measure([Racer(Counting(log, "a"), (3, 4, 4)), Racer(Counting(log, "b"), (1, 2, 2))], 1, CPU)
    names = "".join(name for name, _ in log)
    assert names.endswith("ab" * 50)


def test_the_machine_is_told():
    assert "thread" in machine(CPU)
