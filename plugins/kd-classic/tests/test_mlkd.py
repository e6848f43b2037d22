from __future__ import annotations

import statistics

import pytest
import torch
from kd_classic import (
    MLKD,
    kd_loss,
    mlkd_batch_loss,
    mlkd_class_loss,
    mlkd_loss,
    mlkd_paper_loss,
    mlkd_standardized_loss,
)
from kd_classic.options.relations import MLKDOptions
from kd_dev.testing.values import numbers, terms_of

from kdcore import ModelOutput, Requires

Rows = list[list[float]]


def z_scores(rows: Rows) -> Rows:
    """As the authors of Logit Standardization compute them."""
    return [[(x - statistics.mean(row)) / (1e-7 + statistics.stdev(row)) for x in row] for row in rows]


class Slow:
    """The authors' formulas in plain numbers; those of Logit Standardization standardise in `instance` alone."""

    def __init__(self, oracle, student: Rows, teacher: Rows, standardize: bool = False) -> None:
        self.oracle, self.student, self.teacher = oracle, student, teacher
        self.first = [z_scores(rows) if standardize else rows for rows in (student, teacher)]

    def instance(self, t: float) -> list[float]:
        soft = self.oracle.softmax
        pairs = zip(*self.first, strict=True)
        return [t * t * self.oracle.kl(soft(b, t), soft(a, t)) for a, b in pairs]

    def batch(self, t: float) -> list[float]:
        return self._apart(*self._probabilities(t))

    def classes(self, t: float) -> list[float]:
        ours, theirs = self._probabilities(t)
        return self._apart(
            [list(c) for c in zip(*ours, strict=True)], [list(c) for c in zip(*theirs, strict=True)]
        )

    def _probabilities(self, t: float) -> tuple[Rows, Rows]:
        return [self.oracle.softmax(r, t) for r in self.student], [
            self.oracle.softmax(r, t) for r in self.teacher
        ]

    def _apart(self, ours: Rows, theirs: Rows) -> list[float]:
        def dot(a: list[float], b: list[float]) -> float:
            return sum(x * y for x, y in zip(a, b, strict=True))

        n = range(len(ours))
        return [sum((dot(theirs[i], theirs[j]) - dot(ours[i], ours[j])) ** 2 for j in n) for i in n]


def slow_mlkd(oracle, weak: Slow, strong: Slow, temperature: float, *, released: bool) -> float:
    mean = oracle.mean
    sure = [oracle.softmax(row) for row in weak.teacher]
    tops, sums = [max(p) for p in sure], [sum(c) for c in zip(*sure, strict=True)]
    samples = [float(x <= statistics.median(tops)) for x in tops]
    classes = [float(x <= statistics.median(sums)) for x in sums]
    total = 0.0
    views = (
        strong,
        strong,
        strong,
        weak,
        weak,
    )  # those of the released code, which may have the temperature 2 twice
    for t, view in zip((temperature, 3.0, 5.0, 2.0, 6.0), views, strict=True):
        if released:
            total += mean(samples) * (mean(weak.instance(t)) + mean(weak.batch(t)))
            total += mean(classes) * mean(weak.classes(t))
            total += mean(view.instance(t))
        else:
            total += mean(
                [m * (a + b) for m, a, b in zip(samples, weak.instance(t), weak.batch(t), strict=True)]
            )
            total += mean([m * c for m, c in zip(classes, weak.classes(t), strict=True)])
            total += mean(strong.instance(t)) + mean(strong.batch(t)) + mean(strong.classes(t))
    return total


LOSSES = {"released": mlkd_loss, "paper": mlkd_paper_loss, "standardized": mlkd_standardized_loss}
every_loss = pytest.mark.parametrize("loss_of", LOSSES.values(), ids=LOSSES)
with_and_without = pytest.mark.parametrize("standardize", [False, True])
shapes = pytest.mark.parametrize(("samples", "classes"), [(1, 3), (5, 2), (6, 6), (3, 8), (9, 4)])


def slow_loss(
    oracle, logits: list[torch.Tensor], temperature: float, version: str, standardize: bool
) -> float:
    rows = [one.tolist() for one in logits]
    weak, strong = (Slow(oracle, *rows[i : i + 2], standardize) for i in (0, 2))
    return slow_mlkd(oracle, weak, strong, temperature, released=version == "released")


@shapes
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_relations_equal_the_papers_formulas(oracle, draw, samples, classes, temperature):
    student, teacher, _ = draw(samples, classes)
    slow = Slow(oracle, student.tolist(), teacher.tolist())
    between_samples = mlkd_batch_loss(student, teacher, temperature=temperature)
    assert between_samples.item() == pytest.approx(oracle.mean(slow.batch(temperature)), rel=1e-9)
    between_classes = mlkd_class_loss(student, teacher, temperature=temperature)
    assert between_classes.item() == pytest.approx(oracle.mean(slow.classes(temperature)), rel=1e-9)


@shapes
@pytest.mark.parametrize("name", LOSSES)
def test_the_sum_is_the_released_one_or_the_papers(oracle, samples, classes, name):
    logits = [numbers(samples, classes, seed=seed, scale=2.0) for seed in range(4)]
    version = "paper" if name == "paper" else "released"
    expected = slow_loss(oracle, logits, 4.0, version, standardize=name == "standardized")
    loss = LOSSES[name](*logits, temperature=4.0)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@every_loss
def test_the_gradient_is_that_of_the_formula_for_both_views(loss_of):
    s, t, s_strong, t_strong = (numbers(2, 3, seed=seed) for seed in range(4))
    both = (s.requires_grad_(), s_strong.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: loss_of(a, t, b, t_strong, temperature=4.0), both)


@every_loss
def test_the_order_of_samples_and_classes_does_not_matter(loss_of):
    # not among the shared properties: where two samples or classes are equally sure, rounding decides which is masked
    logits = [numbers(5, 7, seed=seed, scale=2.0) for seed in range(4)]
    expected = loss_of(*logits, temperature=4.0)
    for turned in ([one[[3, 0, 4, 1, 2]] for one in logits], [one.flip(1).roll(2, 1) for one in logits]):
        torch.testing.assert_close(loss_of(*turned, temperature=4.0), expected)


@pytest.mark.parametrize("loss", [mlkd_batch_loss, mlkd_class_loss])
@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_the_gradient_of_the_relations(loss, shape):
    student, teacher = numbers(*shape, seed=1).requires_grad_(), numbers(*shape, seed=2)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, temperature=2.0), (student,))


@pytest.mark.parametrize("loss", [mlkd_batch_loss, mlkd_class_loss])
def test_small_differences_are_not_lost_in_float32(loss):
    # the squared norm of products of 1e-3 apart is 1e-6 of their size, and its float32 error would be 1e-7 of that size
    teacher = numbers(4, 300, seed=1, scale=3.0)
    student = teacher + numbers(4, 300, seed=2, scale=1e-3)
    exact = loss(student, teacher, temperature=1.0).item()
    single = loss(student.float(), teacher.float(), temperature=1.0).item()
    assert single == pytest.approx(exact, rel=2e-2)


def test_as_released_the_strong_view_has_three_temperatures_and_no_relations():
    weak, t_weak, strong, t_strong = (numbers(4, 6, seed=seed) for seed in range(4))
    loss = mlkd_loss(weak, t_weak, strong, t_strong, temperature=4.0)
    agreed = mlkd_loss(weak, t_weak, t_strong, t_strong, temperature=4.0)
    of_strong = sum(kd_loss(strong, t_strong, temperature=t) for t in (4.0, 3.0, 5.0))
    torch.testing.assert_close(loss - agreed, of_strong)


def test_the_masks_of_the_released_code_are_shares():
    # even sizes: one half of the samples and of the classes, whichever they are
    weak, t_weak, strong, _ = (numbers(4, 6, seed=seed) for seed in range(4))
    loss = mlkd_loss(weak, t_weak, strong, strong, temperature=4.0)
    expected = 0.0
    for t in (4.0, 3.0, 5.0, 2.0, 6.0):
        levels = kd_loss(weak, t_weak, temperature=t) + mlkd_batch_loss(weak, t_weak, temperature=t)
        expected += (levels + mlkd_class_loss(weak, t_weak, temperature=t)) / 2
    expected += sum(kd_loss(weak, t_weak, temperature=t) for t in (2.0, 6.0))
    torch.testing.assert_close(loss, expected)


def test_many_classes_need_no_matrix_of_classes():
    # a [K, K] matrix of these would take 1.9 GB
    student, teacher = (
        numbers(2, 21_841, dtype=torch.float32),
        numbers(2, 21_841, seed=1, dtype=torch.float32),
    )
    assert mlkd_class_loss(student, teacher, temperature=4.0).isfinite()


def test_views_of_different_shapes_are_refused():
    four, three = numbers(4, 6), numbers(3, 6)
    with pytest.raises(ValueError, match="logits of both views have shapes"):
        mlkd_loss(four, four, three, three, temperature=4.0)


@pytest.mark.parametrize("version", ["released", "paper"])
@with_and_without
def test_the_distiller_reads_both_views(oracle, setup, version, standardize):
    weak, t_weak, strong, t_strong = (numbers(4, 5, seed=seed) for seed in range(4))
    student, teacher = (
        ModelOutput(first, views=(ModelOutput(first), ModelOutput(second)))
        for first, second in ((weak, strong), (t_weak, t_strong))
    )
    options = MLKDOptions(weight=0.5, temperature=2.0, version=version, standardize=standardize)
    distiller = MLKD(options, setup)
    assert distiller.requires == Requires(views=("weak", "strong"), whole_batch=True, unlabelled="given")
    expected = slow_loss(oracle, [weak, t_weak, strong, t_strong], 2.0, version, standardize)
    found = terms_of(distiller, student, teacher)["mlkd"]
    assert found.item() == pytest.approx(0.5 * expected, rel=1e-9)
    with pytest.raises(ValueError, match="two views of each image"):
        terms_of(distiller, weak, t_weak)
