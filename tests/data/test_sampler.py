from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.sampler import EpochBatches, epoch_order, whole_batches
from kdcore.errors import UserError

SEEDS = st.integers(0, 2**63 - 1)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 1000), st.integers(1, 300))
def test_an_order_is_a_permutation(seed, epoch, size):
    order = epoch_order(seed, epoch, size)
    assert sorted(order.tolist()) == list(range(size))
    assert order.tolist() == epoch_order(seed, epoch, size).tolist()


@settings(deadline=None)
@given(SEEDS, st.integers(0, 1000))
def test_seeds_and_epochs_have_their_own_order(seed, epoch):
    order = epoch_order(seed, epoch, 200).tolist()
    assert order != epoch_order(seed, epoch + 1, 200).tolist()
    assert order != epoch_order(seed + 1, epoch, 200).tolist()


def test_orders_are_even():
    # each position comes first about equally often: 2000 draws of 4, deviation about 19
    firsts = [int(epoch_order(7, epoch, 4)[0]) for epoch in range(2000)]
    assert all(400 < firsts.count(position) < 600 for position in range(4))


@settings(deadline=None)
@given(SEEDS, st.integers(1, 60), st.integers(1, 12), st.sampled_from([1, 2, 3]), st.data())
def test_processes_share_the_batches_of_one(seed, size, part, world, data):
    batch_size = part * world
    if size < batch_size and size % world:
        return
    whole = list(EpochBatches(seed, size, batch_size, 0, 1))
    parts = [list(EpochBatches(seed, size, batch_size, rank, world)) for rank in range(world)]
    assert [[key for share in parts for key in share[batch]] for batch in range(len(whole))] == whole
    keys = [key for batch in whole for key in batch]
    assert len(set(keys)) == len(keys) == (size // batch_size * batch_size or size)
    assert all(epoch == 0 and 0 <= position < size for epoch, position in keys)
    skip = data.draw(st.integers(0, len(whole)))
    sampler = EpochBatches(seed, size, batch_size, 0, 1)
    sampler.skip = skip
    assert list(sampler) == whole[skip:]
    assert len(sampler) == len(whole) - skip


def test_epochs_are_in_the_keys():
    sampler = EpochBatches(0, 10, 4, 0, 1)
    sampler.epoch = 3
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [4, 4]
    assert {epoch for batch in batches for epoch, _ in batch} == {3}
    assert [position for batch in batches for _, position in batch] == epoch_order(0, 3, 10)[:8].tolist()


def test_augmentations_come_again_in_another_order():
    sampler = EpochBatches(0, 10, 4, 0, 1, augmentations=2)
    epochs = []
    for epoch in range(5):
        sampler.epoch = epoch
        epochs.append([key for batch in sampler for key in batch])
    assert [{augmentation for augmentation, _ in keys} for keys in epochs] == [{0}, {1}, {0}, {1}, {0}]
    for epoch, keys in enumerate(epochs):
        assert [position for _, position in keys] == epoch_order(0, epoch, 10)[:8].tolist()


def test_whole_batches():
    assert whole_batches(100, 32, 1) == (3, 32)
    assert whole_batches(32, 32, 2) == (1, 32)
    assert whole_batches(5, 32, 1) == (1, 5)
    assert whole_batches(6, 32, 2) == (1, 6)
    with pytest.raises(UserError, match=r"(?s)train\.batch_size: .*3 processes \(got 32\).*Nearest: 33"):
        whole_batches(100, 32, 3)
    with pytest.raises(UserError, match=r"train\.batch_size: .*only 5 training images.*2 processes"):
        whole_batches(5, 32, 2)
