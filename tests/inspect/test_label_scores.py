"""Measures of several labels an image, against scikit-learn and values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from kdcore.inspect import label_scores
from kdcore.inspect.several_labels import best_thresholds, count_labels, label_averages

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")


@pytest.fixture(scope="module")
def drawn():
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(80, 5, generator=generator) < torch.tensor([0.5, 0.3, 0.1, 0.05, 0.0])).float()
    logits = 2 * target - 1 + torch.randn(80, 5, generator=generator)
    return logits, target


def test_equal_to_scikit_learn(drawn):
    logits, target = drawn
    found = label_scores(logits, target, resamples=0)
    predicted = (logits > 0).int().numpy()
    for average in ("micro", "macro"):
        wanted = metrics.precision_recall_fscore_support(target, predicted, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), wanted, strict=False):
            assert found.overall[f"{average}_{name}"] == pytest.approx(100 * value)
    each = metrics.precision_recall_fscore_support(target, predicted, average=None, zero_division=0)
    for label, row in enumerate(found.per_class):
        values = [row["precision"], row["recall"], row["f1"], row["images"]]
        assert values == pytest.approx(
            [100 * each[0][label], 100 * each[1][label], 100 * each[2][label], each[3][label]]
        )
    assert found.overall["exact_match"] == pytest.approx(100 * metrics.accuracy_score(target, predicted))
    precision = metrics.average_precision_score(target[:, :4], logits[:, :4], average=None)
    assert [row["average_precision"] for row in found.per_class[:4]] == pytest.approx(
        (100 * precision).tolist()
    )
    assert found.per_class[4]["average_precision"] is None  # no image has the label
    assert found.overall["map"] == pytest.approx(100 * precision.mean())


def test_thresholds_have_the_largest_f1(drawn):
    logits, target = drawn
    probabilities = logits.double().sigmoid()
    chosen = best_thresholds(probabilities, target)
    for label in range(4):
        f1 = lambda cut, label=label: metrics.f1_score(target[:, label], probabilities[:, label] > cut)  # noqa: E731
        best = max(f1(float(cut) - 1e-12) for cut in probabilities[:, label])
        assert f1(float(chosen[label])) == pytest.approx(best)
    assert chosen[4] == 0.5
    found = label_scores(logits, target, resamples=0)
    assert found.thresholds.tolist() == chosen.tolist()
    tuned = metrics.f1_score(target, probabilities > chosen, average="macro", zero_division=0)
    assert found.overall["tuned_macro_f1"] == pytest.approx(100 * tuned)
    given = label_scores(logits, target, thresholds=torch.full((5,), 0.5), resamples=0)
    assert given.overall["tuned_micro_f1"] == pytest.approx(given.overall["micro_f1"])


def test_a_threshold_by_hand():
    # both images with the label and one without it, in this order: taking the first three has F1 0.8, the first 2/3
    probabilities = torch.tensor([[0.9], [0.7], [0.6], [0.1]])
    target = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    assert best_thresholds(probabilities, target).item() == pytest.approx(0.35)
    equal = torch.tensor([[0.6], [0.6], [0.6], [0.1]])  # equal ones are not separated
    assert best_thresholds(equal, target).item() == pytest.approx(0.35)


def test_images_without_labels_are_left_out(drawn):
    logits, target = drawn
    more = torch.cat([target, torch.full((2, 5), -1.0)])
    assert label_scores(torch.cat([logits, logits[:2]]), more).overall == label_scores(logits, target).overall
    assert label_scores(logits, torch.full_like(target, -1)).overall == {}


def test_intervals_hold_what_resampling_gives(drawn):
    logits, target = drawn
    found = label_scores(logits, target, resamples=400)
    assert set(found.intervals) == set(found.overall)
    for name, (low, high) in found.intervals.items():
        assert low <= found.overall[name] <= high
    for row in found.per_class[:4]:
        assert {"precision", "recall", "f1", "tuned_f1", "average_precision"} == set(row["intervals"])
        for name, (low, high) in row["intervals"].items():
            assert low <= row[name] <= high
    low, high = found.intervals["micro_f1"]
    draws = []
    for seed in range(300):
        rows = torch.randint(80, (80,), generator=torch.Generator().manual_seed(seed))
        draws.append(float(label_averages(count_labels(logits[rows] > 0, target[rows]))["micro_f1"]))
    ends = torch.tensor(draws).quantile(torch.tensor([0.025, 0.975]))
    assert [low, high] == pytest.approx(ends.tolist(), abs=2.5)


def test_labels_that_are_not_known_are_left_out(drawn):
    logits, target = drawn
    known = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    known[3] = False  # nothing is known of this image
    partly = torch.where(known, target, -1.0)
    found = label_scores(logits, partly, resamples=200)
    right = given = positive = 0
    for label in range(5):
        own = known[:, label]
        real, said = target[own, label], logits[own, label]
        row = found.per_class[label]
        assert row["f1"] == pytest.approx(100 * metrics.f1_score(real, said > 0, zero_division=0))
        if real.any():
            assert row["average_precision"] == pytest.approx(
                100 * metrics.average_precision_score(real, said)
            )
            chances = said.double().sigmoid()
            cuts = [metrics.f1_score(real, chances > float(cut) - 1e-12) for cut in chances]
            assert row["tuned_f1"] == pytest.approx(100 * max(cuts))
        right += int(((said > 0) & (real > 0)).sum())
        given, positive = given + int((said > 0).sum()), positive + int(real.sum())
    assert found.overall["micro_f1"] == pytest.approx(200 * right / (given + positive))
    exact = (((logits > 0) == (target > 0)) | ~known).all(dim=1)[known.any(dim=1)]
    assert found.overall["exact_match"] == pytest.approx(100 * float(exact.double().mean()))
    for name, (low, high) in found.intervals.items():
        assert low <= found.overall[name] <= high
