"""What holds for all logits and all grids."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_ofa import ofa_loss
from kd_ofa.branches import ConvBranch, TokenBranch
from kd_ofa.fitting import halvings, halvings_above
from torch import Tensor

from kdcore import FeatureMap

examples = settings(deadline=None, max_examples=50)
# Multiples of 1/16: adding one to another is exact.
logit = st.integers(-160, 160).map(lambda n: n / 16)
grid = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def cases(draw: Any) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Logits of student and teacher, target, eps and temperature."""
    samples, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    rows = st.lists(st.lists(logit, min_size=classes, max_size=classes), min_size=samples, max_size=samples)
    target = draw(st.lists(st.integers(0, classes - 1), min_size=samples, max_size=samples))
    student, teacher = (torch.tensor(draw(rows), dtype=torch.float64) for _ in range(2))
    keywords = {
        "eps": draw(st.sampled_from([0.3, 1.0, 1.5])),
        "temperature": draw(st.sampled_from([1.0, 2.0])),
    }
    return student, teacher, torch.tensor(target), keywords


def _same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@examples
@given(cases(), st.data())
def test_a_constant_added_to_a_samples_logits_changes_nothing(case, data):
    student, teacher, target, keywords = case
    shifts = st.lists(logit, min_size=len(student), max_size=len(student))
    for_student, for_teacher = (torch.tensor(data.draw(shifts)).double().unsqueeze(1) for _ in range(2))
    _same(
        ofa_loss(student + for_student, teacher + for_teacher, target, **keywords),
        ofa_loss(student, teacher, target, **keywords),
    )


@examples
@given(cases(), st.randoms(use_true_random=False))
def test_the_names_of_the_classes_do_not_matter(case, random):
    student, teacher, target, keywords = case
    order = list(range(student.shape[1]))
    random.shuffle(order)
    renamed = torch.tensor([order.index(y) for y in target.tolist()])
    _same(
        ofa_loss(student[:, order], teacher[:, order], renamed, **keywords),
        ofa_loss(student, teacher, target, **keywords),
    )


@examples
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(case, random):
    student, teacher, target, keywords = case
    order = list(range(len(student)))
    random.shuffle(order)
    _same(
        ofa_loss(student[order], teacher[order], target[order], **keywords),
        ofa_loss(student, teacher, target, **keywords),
    )


@examples
@given(cases())
def test_it_is_never_below_0_and_equals_the_formula(oracle, case):
    student, teacher, target, keywords = case
    value = ofa_loss(student, teacher, target, **keywords)
    assert value.item() >= 0
    expected = oracle.ofa(student.tolist(), teacher.tolist(), target.tolist(), **keywords)
    _same(value, torch.tensor(expected, dtype=torch.float64))


@examples
@given(cases())
def test_the_gradient_of_a_sample_sums_to_0(case):
    student, teacher, target, keywords = case
    student.requires_grad_()
    ofa_loss(student, teacher, target, **keywords).backward()
    assert student.grad.sum(dim=1).abs().max().item() < 1e-9


@examples
@given(grid, st.integers(0, 4))
def test_as_many_halvings_are_found_as_were_made(start, times):
    side = start
    for _ in range(times):
        if max(side) == 1:
            break
        side = (-(-side[0] // 2), -(-side[1] // 2))
    else:
        assert halvings(start, side) == times


@examples
@given(st.integers(1, 600), st.integers(1, 16))
def test_a_square_stays_at_least_so_large_and_not_twice(side, least):
    count = halvings_above((side, side), least)
    assert count == 0 or side / 2**count >= least
    assert side / 2**count < 2 * least


@settings(deadline=None, max_examples=20)
@given(grid, st.integers(0, 3), st.integers(1, 2))
def test_any_grid_gives_logits(grid, times, samples):
    channels = 2
    conv = ConvBranch(channels, times, 8, 3).eval()
    assert conv(FeatureMap(torch.randn(samples, channels, *grid))).shape == (samples, 3)
    token = TokenBranch(channels, 0, mergings=times, blocks=1, width=8, num_classes=3)
    assert token(FeatureMap(torch.randn(samples, channels, *grid))).shape == (samples, 3)
