from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data import shard_order
from kdcore.data.sampler import EpochBatches
from kdcore.data.shard_order import ShardOrder, Shards


def shards(*sizes: int, loaded: int = 0) -> Shards:
    names = tuple(f"{number}.tar" for number in range(len(sizes)))
    return Shards(names, np.array(sizes, dtype=np.int64), np.full(len(sizes), loaded, dtype=np.int64))


def whole(order: ShardOrder) -> list[int]:
    return order[np.arange(len(order))].tolist()  # type: ignore[no-any-return]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**63 - 1), st.lists(st.integers(1, 30), min_size=1, max_size=40), st.data())
def test_each_sample_comes_once_and_each_part_is_that_of_the_whole(seed, sizes, data):
    several = shards(*sizes)
    every = whole(ShardOrder(several, seed, 4))
    assert sorted(every) == list(range(sum(sizes)))
    places = data.draw(st.lists(st.integers(0, sum(sizes) - 1), min_size=1, max_size=20))
    assert ShardOrder(several, seed, 4)[np.array(places)].tolist() == [every[place] for place in places]


def test_shards_and_samples_are_in_another_order_in_each_epoch():
    several = shards(*[50] * 6)
    orders = [whole(ShardOrder(several, seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3


def test_neighbours_are_mixed_and_the_others_wait(monkeypatch):
    monkeypatch.setattr(shard_order, "MIXED_SAMPLES", 100)
    several = shards(*[50] * 10)
    order = np.array(whole(ShardOrder(several, 0, 0))) // 50
    groups = [sorted(set(order[start : start + 100].tolist())) for start in range(0, 500, 100)]
    assert [len(group) for group in groups] == [2] * 5
    assert sorted(shard for group in groups for shard in group) == list(range(10))
    assert all(order[start] != order[start + 1] for start in (0, 100)) or len(set(order[:10].tolist())) == 2


def test_what_a_process_keeps_open_is_limited(monkeypatch):
    monkeypatch.setattr(shard_order, "MIXED_BYTES", 10)
    order = np.array(whole(ShardOrder(shards(5, 5, 5, loaded=8), 0, 0))) // 5
    assert all(len(set(order[start : start + 5].tolist())) == 1 for start in (0, 5, 10))
    monkeypatch.setattr(shard_order, "MIXED_SHARDS", 2)
    order = np.array(whole(ShardOrder(shards(5, 5, 5), 0, 0))) // 5
    assert len(set(order[:10].tolist())) == 2


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batches_of_one(world):
    several = shards(11, 20, 8, 30)
    one = EpochBatches(0, 69, 12, 0, 1, shards=several)
    parts = [EpochBatches(0, 69, 12, rank, world, shards=several) for rank in range(world)]
    for sampler in (one, *parts):
        sampler.skip = 2
    assert [[key for part in batch for key in part] for batch in zip(*parts, strict=True)] == list(one)


def test_a_sample_is_found():
    assert [shards(3, 1, 2).find(index) for index in range(6)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (2, 0),
        (2, 1),
    ]
