"""Processes agree on flags after the same steps, about once a second."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from kdcore.run.agreement import Agreement


class Together:
    """Two accelerators whose `reduce` adds what the other process has: `others` gives it, question by question."""

    device = torch.device("cpu")
    num_processes = 2

    def __init__(self, *others):
        self.others = [torch.tensor(other) for other in others]

    def reduce(self, mine, reduction):
        assert reduction == "sum"
        return mine + self.others.pop(0)


def test_one_process_asks_nobody():
    alone = Agreement(SimpleNamespace(num_processes=1))
    assert alone.now(True, False) == alone.between_steps(True, False) == [True, False]


@pytest.mark.parametrize(("microseconds", "steps"), [(4_000_000, 1), (500_000, 4), (100_000, 19), (0, 64)])
def test_the_next_question_is_a_second_later(monkeypatch, microseconds, steps):
    # this process takes no time, so the mean is half of what the other process takes
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    asking = Agreement(Together([0, microseconds + (2000 if steps == 19 else 0)], [1, 0]))
    assert asking.between_steps(False) == [False]
    assert asking.steps == steps
    for _ in range(steps - 1):
        assert asking.between_steps(True) == [False]  # not asked yet
    assert asking.between_steps(False) == [True]  # the other process has set it


def test_a_question_in_between_begins_the_count_again(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    asking = Agreement(Together([0, 1_000_000], [0, 0, 0], [0, 1_000_000]))
    asking.between_steps(False)
    assert asking.steps == 2
    asking.between_steps(False)
    assert asking.now(True, False) == [True, False]
    assert asking.between_steps(True) == [False]
    assert asking.between_steps(True) == [True]
