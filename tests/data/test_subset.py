from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.data.registered import WrappedSource
from kdcore.data.source import Source
from kdcore.data.subset import balanced_draw, check_labels, choose_samples
from kdcore.errors import UserError

LABELS = st.lists(st.integers(-1, 5), min_size=1, max_size=40)


@settings(deadline=None)
@given(LABELS, st.integers(0, 2**63 - 1))
def test_every_prefix_is_balanced(labels, seed):
    draw = balanced_draw(np.array(labels), seed)
    assert sorted(draw.tolist()) == list(range(len(labels)))
    available = Counter(labels)
    taken = Counter(dict.fromkeys(labels, 0))
    for position in draw:
        taken[labels[position]] += 1
        open_classes = [taken[label] for label in available if taken[label] < available[label]]
        assert max(taken.values()) - min(open_classes, default=max(taken.values())) <= 1


def test_other_seeds_draw_others():
    labels = np.arange(300) % 3
    draws = {tuple(balanced_draw(labels, seed)[:10].tolist()) for seed in range(20)}
    assert len(draws) == 20
    first = [int(labels[balanced_draw(labels, seed)[0]]) for seed in range(300)]
    assert all(60 < first.count(label) < 140 for label in range(3))  # no class is always first
    within = [int(balanced_draw(labels, seed)[0]) for seed in range(300)]
    assert len(set(within)) > 150


def test_fewer_samples_are_the_first_of_more(make_pairs):
    source = WrappedSource(make_pairs(30, targets=[index % 3 for index in range(30)]), "mine", None)
    small, large = choose_samples(source, 7, seed=1), choose_samples(source, 20, seed=1)
    assert small.tolist() == large[:7].tolist()
    assert len(large) == 20
    assert choose_samples(source, None, seed=1) is None
    assert sorted(choose_samples(source, 30, seed=1).tolist()) == list(range(30))


def test_labels_are_read_where_nothing_else_tells_them(make_pairs):
    told = WrappedSource(make_pairs(30, targets=[index % 3 for index in range(30)]), "mine", None)
    silent = WrappedSource(make_pairs(30), "mine", None)
    assert choose_samples(silent, 7, seed=1).tolist() == choose_samples(told, 7, seed=1).tolist()


def test_errors(make_pairs):
    source = WrappedSource(make_pairs(5), "mine", None)
    with pytest.raises(
        UserError, match=r"(?s)data\.train_samples: there are only 5 .*\(got 6\).*allowed: 1 to 5"
    ):
        choose_samples(source, 6, seed=0)
    stream = Source()
    stream.stream = True
    with pytest.raises(UserError, match=r"data\.train_samples: a stream has no subset"):
        choose_samples(stream, 6, seed=0)


def test_check_labels():
    check_labels(torch.tensor([0, 2, 1]), 3)
    check_labels(torch.tensor([-1, -1]), 3)
    with pytest.raises(
        UserError, match=r"data\.num_classes: with 3 classes, class indices go to 2; the data has \[3, 9\]"
    ):
        check_labels(torch.tensor([0, 9, 3, 3]), 3)
    check_labels(torch.tensor([0, -1, 1]), 3)
    with pytest.raises(UserError, match=r"the data has \[-2\]"):
        check_labels(torch.tensor([0, -2, 1]), 3)


def test_no_balanced_draw_where_only_some_have_a_label(make_pairs):
    source = WrappedSource(make_pairs(6, labels=[0, None, 1, -1, 0, 1]), "mine", 2)
    assert source.labels.tolist() == [0, -1, 1, -1, 0, 1]
    with pytest.raises(UserError, match=r"data\.train_samples: only 4 of 6 training images have a label"):
        choose_samples(source, 3, seed=0)
