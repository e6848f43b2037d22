"""What holds for all features."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
LOSSES = {name: case for family in CASES for name, case in family.get("LOSSES", {}).items()}


def having(what: str) -> pytest.MarkDecorator:
    """The losses that have a property, and whether they compare two maps of one shape."""
    chosen = {name: (loss, "element" in has) for name, (loss, has) in LOSSES.items() if what in has}
    return pytest.mark.parametrize(("loss", "one_shape"), chosen.values(), ids=chosen)


examples = settings(deadline=None, max_examples=30)


@st.composite
def maps(draw: Any, samples: int | None = None) -> Tensor:
    """Feature maps, by a seed: hypothesis looks for shapes, not for numbers."""
    shape = [samples or draw(st.integers(1, 5)), *(draw(st.integers(1, 4)) for _ in range(3))]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@st.composite
def pairs(draw: Any, one_shape: bool) -> tuple[Tensor, Tensor]:
    student = draw(maps())
    if one_shape:
        return student, student + torch.randn_like(student)
    return student, draw(maps(samples=len(student)))


def _same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@having("samples")
@examples
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(loss, one_shape, data, random):
    student, teacher = data.draw(pairs(one_shape))
    order = list(range(len(student)))
    random.shuffle(order)
    _same(loss(student[order], teacher[order]), loss(student, teacher))


@examples
@given(pairs(True))
def test_cc_sees_the_order_but_not_its_direction(pair):
    (cc, _), (student, teacher) = LOSSES["cc"], pair
    _same(cc(student.flip(0), teacher.flip(0)), cc(student, teacher))


@having("channels")
@examples
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_the_channels_does_not_matter(loss, one_shape, data, random):
    student, teacher = data.draw(pairs(one_shape))
    ours, theirs = list(range(student.shape[1])), list(range(teacher.shape[1]))
    random.shuffle(ours)
    random.shuffle(theirs)
    if one_shape:
        theirs = ours
    _same(loss(student[:, ours], teacher[:, theirs]), loss(student, teacher))


@having("rotation")
@examples
@given(pairs(False), st.data())
def test_relations_do_not_change_with_a_rotation(loss, one_shape, pair, data):
    student, teacher = pair
    flat = student.flatten(1)
    size = flat.shape[1]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    rotation, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    _same(loss(flat @ rotation, teacher), loss(flat, teacher))


@having("shift")
@examples
@given(st.data())
def test_relations_of_differences_do_not_change_with_a_shift(loss, one_shape, data):
    student, teacher = data.draw(pairs(one_shape))
    _same(loss(student + 3.25, teacher - 7.5), loss(student, teacher))


@having("size")
@examples
@given(st.data(), st.floats(0.125, 100))
def test_the_size_of_the_features_does_not_matter(loss, one_shape, data, factor):
    student, teacher = data.draw(pairs(one_shape))
    _same(loss(student * factor, teacher / factor), loss(student, teacher))


@having("agree")
@examples
@given(maps())
def test_where_both_agree_it_is_zero_and_has_no_slope(loss, one_shape, features):
    agreed = features.clone().requires_grad_()
    value = loss(agreed, features)
    value.backward()
    assert abs(value.item()) < 1e-9
    # relative to the features: PKT adds 1e-7 to norms and probabilities, which tells on small and on opposite ones
    assert (agreed.grad * features).abs().max().item() < 1e-3


@having("positive")
@examples
@given(st.data())
def test_it_is_never_below_zero(loss, one_shape, data):
    assert loss(*data.draw(pairs(one_shape))).item() >= -1e-9
