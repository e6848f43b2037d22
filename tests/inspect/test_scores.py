from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from kdcore.inspect.average_precision import average_precision
from kdcore.inspect.bootstrap import column_intervals, interval, resample
from kdcore.inspect.class_counts import count_classes
from kdcore.inspect.scores import Scores, class_ranks, class_scores


def made(size: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and targets of a model that is right on about half of the images."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (size,), generator=generator)
    logits = torch.randn(size, classes, generator=generator)
    logits[torch.arange(size), target] += 1.5
    return logits, target


def measured(logits: Tensor, target: Tensor, **options: object) -> Scores:
    return class_scores(*_seen(logits, target), logits.shape[1], logits=logits, **options)  # type: ignore[arg-type]


def _seen(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    predicted, ranks = class_ranks(logits, target, 5)
    return predicted, target, ranks


@pytest.mark.parametrize("seed", range(3))
def test_every_measure_is_scikit_learns(seed: int):
    logits, target = made(300, 7, seed)
    target[target == 3] = 2  # a class without images, which some images get
    found = measured(logits, target, top_k=(3,), resamples=0)
    predicted = logits.argmax(dim=1)
    wanted = {
        "top1": sk.accuracy_score(target, predicted),
        "top3": sk.top_k_accuracy_score(target, logits, k=3, labels=range(7)),
    }
    with pytest.warns(UserWarning, match="not in y_true"):
        wanted["balanced_accuracy"] = sk.balanced_accuracy_score(target, predicted)
    for average in ("macro", "weighted"):
        values = sk.precision_recall_fscore_support(target, predicted, average=average, zero_division=0)
        wanted |= {
            f"{average}_{name}": value
            for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True)
        }
    seen = [k for k in range(7) if k != 3]
    sure = logits.double().softmax(dim=1)
    each = [sk.average_precision_score(target == k, sure[:, k]) for k in seen]
    wanted["map"] = float(np.mean(each))
    assert found.overall == pytest.approx({name: 100 * value for name, value in wanted.items()})
    by_class = sk.precision_recall_fscore_support(target, predicted, labels=range(7), zero_division=0)
    for k, row in enumerate(found.per_class):
        shares = [100 * values[k] for values in by_class[:3]]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(shares)
        assert row["images"] == by_class[3][k]
    assert found.per_class[3]["average_precision"] is None
    assert found.per_class[0]["average_precision"] == pytest.approx(100 * each[0])
    assert found.intervals == {}


def test_average_precision_with_equal_scores_and_several_labels_is_scikit_learns():
    generator = torch.Generator().manual_seed(1)
    positive = torch.rand(200, 4, generator=generator) < 0.3
    scores = torch.randint(0, 6, (200, 4), generator=generator).double()
    wanted = [100 * sk.average_precision_score(positive[:, k], scores[:, k]) for k in range(4)]
    assert average_precision(scores, positive).tolist() == pytest.approx(wanted)
    # a sample in which each image is as often as its count
    counts = torch.randint(0, 4, (200, 2), generator=generator).float()
    found = average_precision(scores, positive, counts)
    for row, many in zip(found, counts.T, strict=True):
        wanted = [
            100 * sk.average_precision_score(positive[:, k], scores[:, k], sample_weight=many)
            for k in range(4)
        ]
        assert row.tolist() == pytest.approx(wanted)


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    positive = torch.tensor([[True], [False], [True], [False]])
    assert average_precision(scores, positive).tolist() == pytest.approx([100 * (1 + 2 / 3) / 2])
    assert average_precision(scores, torch.zeros(4, 1, dtype=torch.bool)).isnan().all()


def test_counts_by_hand():
    counts = count_classes(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1]), 4)
    assert counts.precision.tolist() == [50, 100, 0, 0]
    assert counts.recall.tolist() == pytest.approx([100, 100 / 3, 0, 0])
    averages = counts.averages()
    assert float(averages["balanced_accuracy"]) == pytest.approx(200 / 3)  # classes 2 and 3 have no image
    assert float(averages["macro_recall"]) == pytest.approx(400 / 9)  # class 2 is in it: an image gets it


def test_the_intervals_are_those_of_images_drawn_again():
    """Against a slow bootstrap that draws the images themselves."""
    logits, target = made(150, 4)
    found = measured(logits, target, top_k=(2,))
    drawn = np.random.default_rng(0).integers(0, 150, (250, 150))
    slow: dict[str, list[float]] = {}
    for rows in drawn:
        part = measured(logits[rows], target[rows], top_k=(2,), resamples=0)
        for name, value in part.overall.items():
            slow.setdefault(name, []).append(float(value or 0))
    assert found.intervals.keys() == slow.keys()
    for name, values in slow.items():
        wanted = np.percentile(values, [2.5, 97.5])
        assert found.intervals[name] == pytest.approx(wanted, abs=2.0), name
        low, high = found.intervals[name]
        assert low < float(found.overall[name] or 0) < high


def test_the_intervals_of_a_class_are_those_of_images_drawn_again():
    logits, target = made(150, 4)
    target[target == 3] = 0
    target[0] = 3  # a class with one image, which every third draw lacks
    found = measured(logits, target)
    drawn = np.random.default_rng(0).integers(0, 150, (250, 150))
    parts = [measured(logits[rows], target[rows], resamples=0).per_class for rows in drawn]
    for number, row in enumerate(found.per_class):
        assert row["intervals"].keys() == {"precision", "recall", "f1", "average_precision"}
        for name, (low, high) in row["intervals"].items():
            values = [
                part[number][name] for part in parts if part[number]["images"] or name in ("precision", "f1")
            ]
            assert (low, high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=6), name
            assert low <= row[name] <= high
    never = measured(logits, torch.where(target == 3, 0, target)).per_class[3]
    assert never["intervals"].keys() == {"precision", "f1"}  # no image has the class, and some get it


def test_intervals_of_columns_are_those_of_each():
    values = torch.randn(101, 6, generator=torch.Generator().manual_seed(0))
    values[:30, 1], values[:51, 2], values[:, 3] = math.nan, math.nan, math.nan
    wanted = [interval(column) for column in values.T]
    assert wanted[2] is wanted[3] is None
    for own, other in zip(column_intervals(values), wanted, strict=True):
        assert own == (None if other is None else pytest.approx(other))


def test_the_intervals_are_a_function_of_the_seed():
    logits, target = made(100, 3)
    assert measured(logits, target) == measured(logits, target)
    assert measured(logits, target) != measured(logits, target, seed=1)


def test_images_without_a_label_are_left_out_and_none_give_nothing():
    logits, target = made(60, 3)
    none = torch.cat([target, torch.tensor([-1, -2])])
    assert measured(torch.cat([logits, logits[:2]]), none) == measured(logits, target)
    assert measured(logits, torch.full((60,), -1)) == Scores()


def test_a_sample_has_as_many_images_as_there_are():
    drawn = resample(torch.tensor([10, 0, 30]), resamples=200)
    assert (drawn.sum(dim=1) == 40).all()
    assert not drawn[:, 1].any()
    assert drawn.double().mean(dim=0).tolist() == pytest.approx([10, 0, 30], abs=0.7)


def test_the_interval_leaves_out_samples_without_a_value():
    values = torch.tensor([1.0] * 6 + [math.nan] * 4)
    assert interval(values) == (1.0, 1.0)
    assert interval(torch.tensor([1.0, math.nan, math.nan])) is None
    assert interval(torch.empty(0)) is None
