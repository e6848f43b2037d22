from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.permutation import SORTED, Permutation, permutation
from kdcore.data.sampler import EpochBatches


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**63 - 1), st.integers(4, 3000))
def test_each_position_comes_once(key, size):
    order = Permutation(size, key)
    assert len(order) == size
    assert sorted(order[np.arange(size)].tolist()) == list(range(size))


def test_a_part_is_that_of_the_whole():
    size = SORTED + 1234
    order = permutation(size, 1, 2)
    assert isinstance(order, Permutation)
    whole = order[np.arange(size)]
    assert len(np.unique(whole)) == size
    places = np.array([[5, size - 1], [70, 0]])
    assert order[places].tolist() == whole[places].tolist()
    other = permutation(size, 1, 3)[np.arange(size)]
    assert (other == whole).sum() < 20  # by chance 1


def test_small_sets_are_sorted_numbers():
    assert isinstance(permutation(SORTED, 0), np.ndarray)


def test_places_say_nothing_about_positions():
    # sizes just above and just below a power of two, where few and many numbers are walked over
    for size in (SORTED + 1, 2 * SORTED - 1):
        whole = Permutation(size, 3)[np.arange(size)]
        for values in (whole[: size // 4], whole[::4], np.diff(whole) % size):
            counts = np.histogram(values, bins=64, range=(0, size))[0]
            expected = len(values) / 64
            # chi-square with 63 degrees of freedom: above 120 once in 50,000
            assert ((counts - expected) ** 2 / expected).sum() < 120
        assert (np.bincount(whole[1:] - whole[:-1] == 1, minlength=2)[1]) < 12  # neighbours stay by chance: 1


def test_firsts_and_neighbours_are_even_over_keys():
    firsts = np.array([Permutation(5, 7, epoch)[np.arange(5)] for epoch in range(1500)])
    for place in range(5):
        counts = np.bincount(firsts[:, place], minlength=5)
        assert ((counts - 300) ** 2 / 300).sum() < 30  # 4 degrees of freedom: once in 200,000
    orders = {tuple(row) for row in firsts.tolist()}
    assert len(orders) == 120  # each of them


def test_a_billion_samples_need_no_memory():
    size = 10**9
    tracemalloc.start()
    try:
        sampler = EpochBatches(0, size, 256, 1, 4)
        sampler.epoch = 5
        first = next(iter(sampler))
        sampler.skip = sampler.batches - 1
        last = list(sampler)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert len(first) == 64
    assert len(last) == 1
    positions = [position for _, position in (*first, *last[0])]
    assert len(set(positions)) == 128
    assert max(positions) > size // 2 > min(positions) >= 0
    assert max(positions) < size


@pytest.mark.parametrize("skip", [0, 37])
def test_processes_share_a_large_epoch(skip):
    size = SORTED + 5
    whole = EpochBatches(3, size, 96, 0, 1)
    parts = [EpochBatches(3, size, 96, rank, 3) for rank in range(3)]
    whole.skip = skip
    for part in parts:
        part.skip = skip
    shared = [[key for batch in batches for key in batch] for batches in zip(*parts, strict=True)]
    assert shared == list(whole)
    assert len(shared) == size // 96 - skip
