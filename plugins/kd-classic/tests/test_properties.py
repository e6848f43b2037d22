"""What holds for all logits."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_classic import dist_loss
from kd_classic.nkd import nkd_terms
from torch import Tensor

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
LOSSES = {name: case for family in CASES for name, case in family.get("PROPERTIES", {}).items()}


def having(what: str) -> pytest.MarkDecorator:
    """The losses that have a property."""
    chosen = {name: loss for name, (loss, properties) in LOSSES.items() if what in properties}
    return pytest.mark.parametrize("loss", chosen.values(), ids=chosen)


examples = settings(deadline=None, max_examples=15)
# Multiples of 1/16: logits that differ do so by more than rounding, and adding a constant is exact.
logit = st.integers(-160, 160).map(lambda n: n / 16)


@st.composite
def cases(draw: Any) -> tuple[Tensor, Tensor, Tensor, float]:
    """Logits of student and teacher, target, temperature."""
    samples, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    rows = st.lists(st.lists(logit, min_size=classes, max_size=classes), min_size=samples, max_size=samples)
    target = draw(st.lists(st.integers(0, classes - 1), min_size=samples, max_size=samples))
    student, teacher = (torch.tensor(draw(rows), dtype=torch.float64) for _ in range(2))
    return student, teacher, torch.tensor(target), draw(st.sampled_from([1.0, 2.0, 4.0]))


def _same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@having("shift")
@examples
@given(cases(), st.data())
def test_a_constant_added_to_a_samples_logits_changes_nothing(loss, case, data):
    student, teacher, target, temperature = case
    shifts = st.lists(logit, min_size=len(student), max_size=len(student))
    for_student, for_teacher = (torch.tensor(data.draw(shifts)).double().unsqueeze(1) for _ in range(2))
    _same(
        loss(student + for_student, teacher + for_teacher, target, temperature),
        loss(student, teacher, target, temperature),
    )


@having("classes")
@examples
@given(cases(), st.randoms(use_true_random=False))
def test_the_names_of_the_classes_do_not_matter(loss, case, random):
    student, teacher, target, temperature = case
    order = list(range(student.shape[1]))
    random.shuffle(order)
    renamed = torch.tensor([order.index(y) for y in target.tolist()])
    _same(
        loss(student[:, order], teacher[:, order], renamed, temperature),
        loss(student, teacher, target, temperature),
    )


@having("samples")
@examples
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(loss, case, random):
    student, teacher, target, temperature = case
    order = list(range(len(student)))
    random.shuffle(order)
    _same(
        loss(student[order], teacher[order], target[order], temperature),
        loss(student, teacher, target, temperature),
    )


@having("divergence")
@examples
@given(cases())
def test_a_divergence_is_zero_where_both_agree_and_never_below(loss, case):
    student, teacher, target, temperature = case
    assert loss(student, teacher, target, temperature).item() >= -1e-9
    agreed = student.clone().requires_grad_()
    value = loss(agreed, student, target, temperature)
    assert value.item() == 0
    value.backward()
    assert agreed.grad.abs().max().item() < 1e-9


@examples
@given(cases())
def test_the_non_target_term_of_nkd_is_least_where_the_other_classes_agree(case):
    student, teacher, target, temperature = case
    _, at_student = nkd_terms(student, teacher, target, temperature=temperature)
    agreed = teacher.clone().requires_grad_()
    _, least = nkd_terms(agreed, teacher, target, temperature=temperature)
    assert at_student.item() >= least.item() - 1e-9
    least.backward()
    assert agreed.grad.abs().max().item() < 1e-9


@examples
@given(cases(), st.floats(0.1, 5.0))
def test_the_target_term_of_nkd_falls_as_the_students_target_logit_rises(case, rise):
    student, teacher, target, temperature = case
    before, _ = nkd_terms(student, teacher, target, temperature=temperature)
    higher = student + rise * torch.nn.functional.one_hot(target, student.shape[1])
    after, _ = nkd_terms(higher, teacher, target, temperature=temperature)
    assert 0 <= after.item() < before.item()


@examples
@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 10_000))
def test_dist_is_zero_where_both_agree_but_for_the_authors_constant(samples, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(samples, classes, generator=generator).double() for _ in range(2))
    # A vector of spread n correlates with itself by n^2 / (n^2 + 1e-8), so it leaves 1e-8 / (n^2 + 1e-8).
    probabilities = student.softmax(1)
    left = [1e-8 / (1e-8 + probabilities.var(dim, correction=0) * probabilities.shape[dim]) for dim in (1, 0)]
    expected = left[0].mean() + 2 * left[1].mean()
    agreed, apart = (dist_loss(student, b, beta=1.0, gamma=2.0, temperature=1.0) for b in (student, teacher))
    assert agreed.item() == pytest.approx(expected.item(), abs=1e-9)
    # a correlation is between -1 and 1: (beta + gamma) * 2
    assert -1e-9 <= apart.item() <= 6 + 1e-9
