from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from kd_classic import CAMKD, EBKD, Average, average_kd_loss, camkd_loss, ebkd_loss, kd_loss
from kd_classic.options.networks import AverageOptions, CAMKDOptions, EBKDOptions
from kd_dev.testing.values import model_of_shapes, numbers, setup_of

from kdcore import Batch, ModelOutput, Progress, Requires, Setup

shapes = pytest.mark.parametrize(("teachers", "samples", "classes"), [(2, 1, 3), (3, 5, 7), (2, 3, 1000)])


def logits(teachers: int, samples: int, classes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of the student and of all teachers, and class indices."""
    student = numbers(samples, classes, scale=2.0)
    return student, numbers(teachers, samples, classes, seed=1, scale=2.0), torch.arange(samples) % classes


def divergences(oracle, student, teachers, temperature: float) -> list[list[float]]:
    def one(own: list[float], other: list[float]) -> float:
        return oracle.kd([own], [other], temperature=temperature)

    return [[one(a, b) for a, b in zip(student.tolist(), rows, strict=True)] for rows in teachers.tolist()]


@shapes
def test_the_average_is_the_mean_over_the_teachers(oracle, teachers, samples, classes):
    student, theirs, _ = logits(teachers, samples, classes)
    expected = oracle.mean([oracle.mean(row) for row in divergences(oracle, student, theirs, 4.0)])
    assert average_kd_loss(student, theirs, temperature=4.0).item() == pytest.approx(expected, rel=1e-9)


@shapes
def test_ebkd_equals_the_authors_formula(oracle, teachers, samples, classes):
    student, theirs, _ = logits(teachers, samples, classes)
    apart = divergences(oracle, student, theirs, 4.0)
    total = 0.0
    for b in range(samples):
        soft = [oracle.softmax(rows[b]) for rows in theirs.tolist()]
        entropies = [-sum(p * math.log(p) for p in row) for row in soft]
        total += sum((1 - entropies[m] / sum(entropies)) * apart[m][b] for m in range(teachers))
    expected = total / samples / teachers
    assert ebkd_loss(student, theirs, temperature=4.0).item() == pytest.approx(expected, rel=1e-9)


@shapes
def test_camkd_equals_the_authors_formula(oracle, teachers, samples, classes):
    student, theirs, target = logits(teachers, samples, classes)
    apart = divergences(oracle, student, theirs, 4.0)
    total = 0.0
    for b, y in enumerate(target.tolist()):
        wrong = [-math.log(oracle.softmax(rows[b])[y]) for rows in theirs.tolist()]
        weights = [(1 - p) / (teachers - 1) for p in oracle.softmax(wrong)]
        assert sum(weights) == pytest.approx(1)
        total += sum(w * row[b] for w, row in zip(weights, apart, strict=True))
    expected = total / samples / teachers
    assert camkd_loss(student, theirs, target, temperature=4.0).item() == pytest.approx(expected, rel=1e-9)


LOSSES = {
    "average": lambda s, t, y: average_kd_loss(s, t, temperature=4.0),
    "ebkd": lambda s, t, y: ebkd_loss(s, t, temperature=4.0),
    "camkd": lambda s, t, y: camkd_loss(s, t, y, temperature=4.0),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@every_loss
def test_the_gradient_is_that_of_the_formula_and_the_students_only(loss):
    student, theirs, target = logits(3, 4, 6)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, theirs, target), (student,))
    theirs.requires_grad_()
    loss(student, theirs, target).backward()
    assert theirs.grad is None


@every_loss
def test_the_order_of_the_teachers_does_not_matter(loss):
    student, theirs, target = logits(3, 4, 6)
    torch.testing.assert_close(loss(student, theirs.flip(0), target), loss(student, theirs, target))


def test_with_equal_teachers_all_are_kd_up_to_the_authors_factors():
    student, theirs, target = logits(1, 4, 6)
    plain = kd_loss(student, theirs[0], temperature=4.0)
    three = theirs.expand(3, -1, -1)
    torch.testing.assert_close(average_kd_loss(student, three, temperature=4.0), plain)
    torch.testing.assert_close(ebkd_loss(student, three, temperature=4.0), plain * 2 / 3)
    torch.testing.assert_close(camkd_loss(student, three, target, temperature=4.0), plain / 3)


def test_a_teacher_that_is_wrong_counts_for_nothing_in_camkd():
    student, theirs, target = logits(2, 4, 6)
    theirs[1] = 0.0
    theirs[1, torch.arange(4), (target + 1) % 6] = 1e3
    only = kd_loss(student, theirs[0], temperature=4.0)
    torch.testing.assert_close(2 * camkd_loss(student, theirs, target, temperature=4.0), only)


def test_teachers_that_are_certain_count_equally_in_ebkd():
    # all entropies are 0, and 0 / 0 would be no number
    student = torch.zeros(1, 2)
    theirs = torch.tensor([[[1e4, 0.0]], [[0.0, 1e4]]])
    loss = ebkd_loss(student, theirs, temperature=1.0)
    assert loss.item() == pytest.approx(math.log(2) / 2)


@every_loss
def test_a_shape_without_teachers_is_refused(loss):
    student, theirs, target = logits(2, 4, 6)
    with pytest.raises(ValueError, match=r"must be \[M, B, K\]"):
        loss(student, theirs[0], target)


@pytest.mark.parametrize("name", ["ebkd", "camkd"])
def test_one_teacher_is_refused_where_weights_are_relative(name):
    student, theirs, target = logits(1, 4, 6)
    with pytest.raises(ValueError, match="there is one teacher"):
        LOSSES[name](student, theirs, target)


def setup_for(teachers: int) -> Setup:
    models = {f"teacher-{number}": model_of_shapes("large") for number in range(teachers)}
    return dataclasses.replace(setup_of(model_of_shapes("small"), None), teachers=models)


@pytest.mark.parametrize(
    ("made", "function", "labels"),
    [
        (Average(AverageOptions(weight=2.0), setup_for(3)), LOSSES["average"], False),
        (EBKD(EBKDOptions(weight=2.0), setup_for(3)), LOSSES["ebkd"], False),
        (CAMKD(CAMKDOptions(weight=2.0), setup_for(3)), LOSSES["camkd"], True),
    ],
)
def test_the_distillers_read_all_teachers(made, function, labels):
    student, theirs, target = logits(3, 4, 6)
    unlabelled = "skipped" if labels else made.requires.unlabelled
    assert made.requires == Requires(several_teachers=True, target=labels, unlabelled=unlabelled)
    outputs = {name: ModelOutput(one) for name, one in zip("abc", theirs, strict=True)}
    batch = Batch(torch.zeros(4, 3, 2, 2), target)
    (term,) = made(ModelOutput(student), outputs, batch, Progress(0.0, 0, 10, 1)).values()
    torch.testing.assert_close(term, 2 * function(student, theirs, target))


@pytest.mark.parametrize(
    "made",
    [CAMKD(CAMKDOptions(normalize=True), setup_for(3)), EBKD(EBKDOptions(normalize=True), setup_for(3))],
)
def test_with_normalize_the_weights_of_equal_teachers_have_the_sum_one(made):
    student, theirs, target = logits(1, 4, 6)
    outputs = {name: ModelOutput(theirs[0]) for name in "abc"}
    batch = Batch(torch.zeros(4, 3, 2, 2), target)
    (term,) = made(ModelOutput(student), outputs, batch, Progress(0.0, 0, 10, 1)).values()
    torch.testing.assert_close(term, kd_loss(student, theirs[0], temperature=4.0))


@pytest.mark.parametrize(("kind", "options"), [(EBKD, EBKDOptions()), (CAMKD, CAMKDOptions())])
def test_the_distillers_that_weigh_teachers_refuse_one(kind, options):
    with pytest.raises(ValueError, match="the run has 1"):
        kind(options, setup_for(1))
