"""Draws by weights, and batches with a fixed number of labelled samples."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore import UserError
from kdcore.data.draws import times_before, weighted_draws
from kdcore.data.sampler import EpochBatches
from kdcore.data.sampling import choose_draw
from kdcore.data.training_set import TrainingSet

LABELS = torch.tensor([0, 1, 2] * 4 + [-1] * 48)


def chosen(labels=LABELS, weights=None):
    return TrainingSet(None, len(labels), labels, None if weights is None else torch.tensor(weights))


def spec(sampling="shuffled", fraction=None):
    return SimpleNamespace(sampling=sampling, labelled_fraction=fraction)


def batches(draw, epoch=0, rank=0, world=1, size=60, batch_size=8):
    sampler = EpochBatches(3, size, batch_size, rank, world, draw=draw)
    sampler.epoch = epoch
    return list(sampler)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any), st.integers(1, 60), st.integers(0, 99)
)
def test_a_weight_is_how_often_a_sample_comes_up_to_rounding(weights, count, seed):
    drawn = weighted_draws(np.array(weights, dtype=np.float64), count, seed)
    times = np.bincount(drawn, minlength=len(weights))
    wanted = count * np.array(weights) / sum(weights)
    assert (np.abs(times - wanted) < 1 + 1e-9).all()
    assert not times[np.array(weights) == 0].any()


def test_weights_are_right_on_average_and_the_order_is_random():
    weights = np.array([0.5, 1.0, 2.5])
    times = sum(np.bincount(weighted_draws(weights, 4, seed), minlength=3) for seed in range(4000)) / 4000
    # the deviation of a mean of 4000 numbers that are rounded up or down is below 0.5 / sqrt(4000) = 0.008
    assert np.abs(times - [0.5, 1.0, 2.5]).max() < 0.03
    assert len({tuple(weighted_draws(weights, 4, seed)) for seed in range(20)}) > 5
    assert sorted(weighted_draws(np.ones(9), 9, 1).tolist()) == list(range(9))


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=30))
def test_repeats_are_counted(positions):
    seen: Counter[int] = Counter()
    for position, count in zip(positions, times_before(np.array(positions, dtype=np.int64)), strict=True):
        assert seen[position] == count
        seen[position] += 1


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_each_batch_has_as_many_labelled_samples(sampling):
    draw = choose_draw(chosen(), spec(sampling, 0.25), 8)
    found = batches(draw)
    assert len(found) == 7
    kinds = [[int(LABELS[position]) for _, position in batch] for batch in found]
    assert [sum(label >= 0 for label in batch) for batch in kinds] == [2] * 7
    assert len({tuple(label >= 0 for label in batch) for batch in kinds}) > 3  # anywhere in the batch
    labelled = Counter(position for batch in found for _, position in batch if LABELS[position] >= 0)
    others = Counter(position for batch in found for _, position in batch if LABELS[position] < 0)
    assert set(labelled.values()) <= {1, 2}  # 14 draws of 12 images
    assert set(others.values()) == {1}  # 42 draws of 48
    if sampling == "balanced":
        counts = Counter(label for batch in kinds for label in batch if label >= 0)
        assert max(counts.values()) - min(counts.values()) <= 1
    keys = [key for batch in found for key in batch]
    assert len(set(keys)) == len(keys)  # a repeated image is augmented in another way
    assert found == batches(draw)
    assert found != batches(draw, epoch=1)
    halves = [batches(draw, rank=rank, world=2) for rank in range(2)]
    assert [[*one, *other] for one, other in zip(*halves, strict=True)] == found


def test_balanced_classes_of_the_labelled_leave_the_others_as_they_are():
    rare = torch.tensor([0] * 9 + [1] * 3 + [-1] * 48)
    draw = choose_draw(chosen(rare), spec("balanced"), 60)
    ((*keys,),) = batches(draw, batch_size=60)
    found = Counter(int(rare[position]) for _, position in keys)
    assert found == {0: 6, 1: 6, -1: 48}
    assert len({position for _, position in keys if rare[position] < 0}) == 48


def test_weights_within_labelled_and_others():
    weights = np.array([1.0] * 12 + [0.0] * 40 + [1.0] * 8)
    found = batches(choose_draw(chosen(weights=weights), spec("weights", 0.5), 8))
    assert all(sum(position < 12 for _, position in batch) == 4 for batch in found)
    assert not any(12 <= position < 52 for batch in found for _, position in batch)
    whole = batches(choose_draw(chosen(weights=weights), spec("weights"), 8))
    assert not any(12 <= position < 52 for batch in whole for _, position in batch)


def test_nothing_special_is_no_draw():
    assert choose_draw(chosen(), spec(), 8) is None


@pytest.mark.parametrize(
    ("found", "data", "where", "message"),
    [
        (
            chosen(),
            spec(fraction=0.01),
            "labelled_fraction",
            "of a batch of 8 images none would have a label",
        ),
        (chosen(), spec(fraction=0.99), "labelled_fraction", "of a batch of 8 images all would have a label"),
        (chosen(LABELS[:12]), spec(fraction=0.5), "labelled_fraction", "only some have a label, and each"),
        (chosen(LABELS[12:]), spec(fraction=0.5), "labelled_fraction", "only some have a label, and none"),
        (TrainingSet(None, 9, None), spec("balanced"), "sampling", "not known before they are read"),
        (chosen(LABELS[12:]), spec("balanced"), "sampling", "the training images have no classes"),
        (chosen(), spec("weights"), "sampling", "the training images have no weights"),
        (chosen(weights=np.full(60, np.nan)), spec("weights"), "sampling", "must be finite numbers"),
        (chosen(weights=np.zeros(60)), spec("weights"), "sampling", "must be finite numbers"),
        (
            chosen(weights=np.array([0.0] * 12 + [1.0] * 48)),
            spec("weights", 0.5),
            "sampling",
            "the weights of all labelled images are 0",
        ),
    ],
)
def test_what_is_refused(found, data, where, message):
    with pytest.raises(UserError) as caught:
        choose_draw(found, data, 8)
    (problem,) = caught.value.problems
    assert (problem.where, message in problem.message) == (f"data.{where}", True), problem
