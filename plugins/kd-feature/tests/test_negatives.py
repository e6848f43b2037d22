from __future__ import annotations

import copy
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_feature.negatives import NegativeSampler


@settings(deadline=None, max_examples=80)
@given(
    labels=st.lists(st.integers(-1, 4), min_size=2, max_size=30).filter(
        lambda found: len(set(found)) > 1 or found[0] == -1
    ),
    negatives=st.integers(1, 40),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_every_draw_is_different_samples_of_other_classes(labels, negatives, seed, data):
    sampler = NegativeSampler(len(labels), torch.tensor(labels), negatives, seed)
    sizes = [labels.count(label) if label >= 0 else 1 for label in labels]
    assert sampler.negatives == min(negatives, len(labels) - max(sizes))
    index = data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=1, max_size=6))
    for _ in range(2):
        rows = sampler(torch.tensor(index)).tolist()
        for own, row in zip(index, rows, strict=True):
            assert row[0] == own
            drawn = row[1:]
            assert len(set(drawn)) == len(drawn) == sampler.negatives
            assert own not in drawn
            assert all(0 <= other < len(labels) for other in drawn)
            assert labels[own] < 0 or all(labels[other] != labels[own] for other in drawn)


def test_all_others_are_drawn_equally_often():
    # classes of sizes 1, 2, 3 and 6: 9 others for the class of 3, of which 4 are drawn
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3])
    sampler = NegativeSampler(12, labels, 4, seed=0)
    index = torch.tensor([3, 4, 3])
    counts = torch.zeros(3, 12)
    first = torch.zeros(3, 12)
    times = 6000
    for _ in range(times):
        drawn = sampler(index)[:, 1:]
        counts.scatter_add_(1, drawn, torch.ones(3, 4))
        first.scatter_add_(1, drawn[:, :1], torch.ones(3, 1))
    others = labels != 2
    assert counts[:, ~others].sum() == 0
    # standard deviations of the shares 4/9 and 1/9 over 6000 draws: 0.0064 and 0.0041; five of them
    assert (counts[:, others] / times - 4 / 9).abs().max() < 0.032
    assert (first[:, others] / times - 1 / 9).abs().max() < 0.021


def test_two_rows_share_no_more_than_independent_draws_would():
    sampler = NegativeSampler(60, None, 20, seed=0)
    index = torch.tensor([0, 1])
    shared = 0
    for _ in range(2000):
        one, other = sampler(index)[:, 1:].tolist()
        shared += len(set(one) & set(other))
    # of 58 samples that both can draw, each with probability (20/59)^2: 6.66
    assert shared / 2000 == pytest.approx(58 * (20 / 59) ** 2, rel=0.05)


def test_without_labels_every_other_sample_is_a_negative():
    sampler = NegativeSampler(5, None, 10, seed=0)
    assert sampler.negatives == 4
    assert sorted(sampler(torch.tensor([2]))[0, 1:].tolist()) == [0, 1, 3, 4]


def test_draws_are_a_function_of_the_seed_and_the_count():
    labels = torch.arange(50) % 5
    index = torch.tensor([3, 14, 15])
    one, same, other = (NegativeSampler(50, labels, 12, seed) for seed in (1, 1, 2))
    torch.manual_seed(0)
    first, second = one(index), one(index)
    torch.manual_seed(99)
    assert torch.equal(same(index), first)
    assert torch.equal(same(index), second)
    assert not torch.equal(first, second)
    assert not torch.equal(other(index), first)


def test_it_leaves_the_global_generator_alone():
    sampler = NegativeSampler(20, None, 5, seed=0)
    before = torch.get_rng_state()
    sampler(torch.tensor([1]))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_is_the_count_and_no_data():
    sampler, resumed = (NegativeSampler(50, torch.arange(50) % 5, 12, 3) for _ in range(2))
    index = torch.tensor([3, 14, 15])
    for _ in range(3):
        sampler(index)
    state = sampler.state_dict()
    assert {name: value.tolist() for name, value in state.items()} == {"_extra_state": 3}
    resumed.load_state_dict(state)
    copied = copy.deepcopy(sampler)
    expected = sampler(index)
    assert torch.equal(resumed(index), expected)
    assert torch.equal(copied(index), expected)


def test_fewer_than_wanted_are_explained(caplog):
    labels = torch.tensor([0] * 7 + [1] * 3)
    with caplog.at_level(logging.WARNING):
        assert NegativeSampler(10, labels, 16_384, seed=0).negatives == 3
    assert caplog.messages == [
        "crd: 3 negatives instead of 16384: without its largest class the training set has 3 samples"
    ]
    caplog.clear()
    NegativeSampler(10, labels, 3, seed=0)
    assert caplog.messages == []


def test_a_training_set_as_large_as_imagenet():
    size, classes = 1_281_167, 1000
    labels = torch.randint(classes, (size,), generator=torch.Generator().manual_seed(0))
    sampler = NegativeSampler(size, labels, 16_384, seed=0)
    held = sum(buffer.numel() for buffer in sampler.buffers())
    assert held == 3 * size  # whatever the number of classes
    drawn = sampler(torch.tensor([0, size - 1]))
    assert drawn.shape == (2, 16_385)
    assert (labels[drawn[:, 1:]] != labels[drawn[:, :1]]).all()
    assert all(len(row.unique()) == 16_385 for row in drawn)


@pytest.mark.parametrize(
    ("size", "labels", "message"),
    [
        (0, None, "the training set has 0 samples; contrast needs at least 2"),
        (1, None, "the training set has 1 samples; contrast needs at least 2"),
        (3, [0, 1], r"train_labels has shape \[2\], the training set 3 samples"),
        (3, [2, 2, 2], "all training samples are of one class"),
    ],
)
def test_what_gives_no_negatives_is_refused(size, labels, message):
    with pytest.raises(ValueError, match=message):
        NegativeSampler(size, None if labels is None else torch.tensor(labels), 4, seed=0)
