from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_report import measures
from torch import Tensor

# probabilities 0.7, 0.58, 0.55, 0.9 of the first classes 0, 1, 0, 2; right: the first and the last
PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.58, 0.12], [0.55, 0.4, 0.05], [0.04, 0.06, 0.9]])
LOGITS = PROBABILITIES.log()
TARGET = torch.tensor([0, 0, 1, 2])
UNKNOWN = torch.full((4,), -1)


def _random(seed: int, images: int = 60, classes: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator) * 3
    return logits, torch.randint(-1, classes, (images,), generator=generator)


def test_top_k_by_hand():
    assert measures.top_k(LOGITS, TARGET) == pytest.approx(50.0)
    assert measures.top_k(LOGITS, TARGET, 2) == pytest.approx(100.0)
    assert measures.top_k(LOGITS, TARGET, 99) == pytest.approx(100.0)


def test_nll_by_hand():
    expected = -(math.log(0.7) + math.log(0.3) + math.log(0.4) + math.log(0.9)) / 4
    assert measures.nll(LOGITS, TARGET) == pytest.approx(expected, abs=1e-6)


def test_calibration_by_hand():
    found = measures.calibration(LOGITS, TARGET, bins=5)
    assert found is not None
    # (0.4, 0.6]: 0.58 and 0.55, both wrong; (0.6, 0.8]: 0.7, right; (0.8, 1]: 0.9, right
    assert found.counts.tolist() == [0, 0, 2, 1, 1]
    assert found.accuracy.tolist() == pytest.approx([0, 0, 0, 100, 100])
    assert found.confidence.tolist() == pytest.approx([0, 0, 56.5, 70, 90], abs=1e-4)
    assert found.ece == pytest.approx((2 * 56.5 + 30 + 10) / 4, abs=1e-4)
    assert found.edges.tolist() == pytest.approx([0, 20, 40, 60, 80, 100])


def test_a_bin_has_its_upper_edge():
    sure = torch.tensor([[0.75, 0.25], [0.5, 0.5]], dtype=torch.float64).log()
    found = measures.calibration(sure, torch.tensor([0, 0]), bins=4)
    assert found is not None
    assert found.counts.tolist() == [0, 1, 1, 0]


def test_confusion_and_class_accuracy_by_hand():
    counted = measures.confusion(LOGITS, TARGET)
    assert counted is not None
    assert counted.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    found = measures.class_accuracy(LOGITS, torch.tensor([0, 0, -1, 2]))
    assert found is not None
    assert found.percent.tolist() == pytest.approx([50.0, 0.0, 100.0])
    assert found.counts.tolist() == [2, 0, 1]
    assert found.seen.tolist() == [True, False, True]


def test_agreement_by_hand():
    other = torch.tensor([[9.0, 0, 0], [9, 0, 0], [9, 0, 0], [9, 0, 0]])
    assert measures.agreement(LOGITS, other) == pytest.approx(50.0)
    assert measures.agreement(LOGITS[:0], other[:0]) is None


def test_divergence_by_hand():
    teacher = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64).log()
    student = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64).log()
    expected = [0.5 * math.log(2) + 0.5 * math.log(2 / 3), math.log(2)]
    assert measures.divergence(student, teacher).tolist() == pytest.approx(expected)


def test_correlation_by_hand():
    # the second class is the first's double, the third its opposite, the fourth constant
    base = torch.tensor([1.0, 2.0, 4.0])
    logits = torch.stack([base, 2 * base + 5, -base, torch.full((3,), 1e4)], dim=1)
    expected = torch.tensor([[1.0, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(measures.class_correlation(logits), expected.double())


def test_a_student_that_copies_has_no_correlation_difference():
    logits, _ = _random(3)
    assert measures.correlation_difference(2 * logits + 1, logits).abs().max() < 1e-6
    other, _ = _random(4)
    difference = measures.correlation_difference(other, logits)
    torch.testing.assert_close(difference, difference.T)
    assert difference.abs().max() > 0.1


def test_nothing_is_said_of_unlabelled_images():
    assert measures.top_k(LOGITS, UNKNOWN) is None
    assert measures.nll(LOGITS, UNKNOWN) is None
    assert measures.calibration(LOGITS, UNKNOWN) is None
    assert measures.confusion(LOGITS, UNKNOWN) is None
    assert measures.class_accuracy(LOGITS, UNKNOWN) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_all_agree_with_slow_oracles(seed: int):
    logits, target = _random(seed)
    rows = [
        (one.double(), int(label)) for one, label in zip(logits, target.tolist(), strict=True) if label >= 0
    ]
    ranks = [int((one > one[label]).sum()) for one, label in rows]
    for k in (1, 3, 5):
        expected = 100 * sum(rank < k for rank in ranks) / len(rows)
        assert measures.top_k(logits, target, k) == pytest.approx(expected)
    likelihood = [math.log(sum(math.exp(value) for value in one)) - float(one[label]) for one, label in rows]
    assert measures.nll(logits, target) == pytest.approx(sum(likelihood) / len(rows))

    table = [[0] * 7 for _ in range(7)]
    members: list[list[tuple[float, bool]]] = [[] for _ in range(measures.BINS)]
    for one, label in rows:
        first = max(range(7), key=lambda k: float(one[k]))
        table[label][first] += 1
        sure = 1 / sum(math.exp(float(value - one[first])) for value in one)
        place = next(m for m in range(measures.BINS) if sure <= (m + 1) / measures.BINS + 1e-15)
        members[place].append((sure, first == label))
    counted, by_class = measures.confusion(logits, target), measures.class_accuracy(logits, target)
    assert counted is not None
    assert by_class is not None
    assert counted.tolist() == table
    assert by_class.percent.tolist() == pytest.approx(
        [100 * table[k][k] / max(1, sum(table[k])) for k in range(7)]
    )
    error = sum(abs(sum(ok for _, ok in part) - sum(sure for sure, _ in part)) for part in members)
    found = measures.calibration(logits, target)
    assert found is not None
    assert found.ece == pytest.approx(100 * error / len(rows))
    assert found.counts.tolist() == [len(part) for part in members]


def test_correlation_agrees_with_torch():
    logits, _ = _random(5)
    torch.testing.assert_close(measures.class_correlation(logits), torch.corrcoef(logits.double().T))


def test_divergence_of_large_logits_is_finite():
    student, teacher = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[-1e4, 1e4, 0.0]])
    assert measures.divergence(student, teacher).isfinite().all()
