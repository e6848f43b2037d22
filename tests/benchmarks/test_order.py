"""The order group: both contenders give a first batch, of other samples."""

from __future__ import annotations

import pytest

from benchmarks import order
from kdcore.data import sampler


@pytest.mark.parametrize("contender", order.NAMES)
def test_first_batches(contender, monkeypatch):
    monkeypatch.setattr(
        sampler, "epoch_order", sampler.epoch_order
    )  # the group replaces it in its own process
    seconds = order._first_batch(contender, 100_000, "s")
    assert seconds > 0
    assert order._first_batch(contender, 100_000, "MiB") > 10


def test_cases():
    large = order.first_batch("10^9", "s")
    assert list(large.steps) == ["kd"]
    assert "16 GB" in large.notes["all numbers sorted"]
    assert len(order.cases()) == 6
