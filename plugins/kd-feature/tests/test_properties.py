"""What holds for all features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kd_feature import (
    at_loss,
    cc_loss,
    hint_loss,
    nst_loss,
    pkt_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    sp_loss,
    vid_loss,
)
from torch import Tensor

LOSSES = {
    "hint": hint_loss,
    "rkd_distance": rkd_distance_loss,
    "rkd_angle": rkd_angle_loss,
    "at": at_loss,
    "sp": sp_loss,
    "pkt": pkt_loss,
    "nst": nst_loss,
    "cc": lambda s, t: cc_loss(s.flatten(1), t.flatten(1)),
    "vid": lambda s, t: vid_loss(s, t, torch.linspace(-1, 2, s.shape[1], dtype=s.dtype)),
}
ONE_SHAPE = ("hint", "cc", "vid")  # compared element by element; the others compare any two
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


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cc"])
@examples
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(name, data, random):
    student, teacher = data.draw(pairs(name in ONE_SHAPE))
    order = list(range(len(student)))
    random.shuffle(order)
    _same(LOSSES[name](student[order], teacher[order]), LOSSES[name](student, teacher))


@examples
@given(pairs(True))
def test_cc_sees_the_order_but_not_its_direction(pair):
    student, teacher = pair
    _same(LOSSES["cc"](student.flip(0), teacher.flip(0)), LOSSES["cc"](student, teacher))


@pytest.mark.parametrize("name", ["at", "nst"])
@examples
@given(pairs(False), st.randoms(use_true_random=False))
def test_the_order_of_the_channels_does_not_matter(name, pair, random):
    student, teacher = pair
    ours, theirs = list(range(student.shape[1])), list(range(teacher.shape[1]))
    random.shuffle(ours)
    random.shuffle(theirs)
    _same(LOSSES[name](student[:, ours], teacher[:, theirs]), LOSSES[name](student, teacher))


@pytest.mark.parametrize("name", ["rkd_distance", "rkd_angle", "sp", "pkt"])
@examples
@given(pairs(False), st.data())
def test_relations_do_not_change_with_a_rotation(name, pair, data):
    student, teacher = pair
    flat = student.flatten(1)
    size = flat.shape[1]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    rotation, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    _same(LOSSES[name](flat @ rotation, teacher), LOSSES[name](flat, teacher))


@pytest.mark.parametrize("name", ["rkd_distance", "rkd_angle"])
@examples
@given(pairs(False))
def test_relations_of_differences_do_not_change_with_a_shift(name, pair):
    student, teacher = pair
    _same(LOSSES[name](student + 3.25, teacher - 7.5), LOSSES[name](student, teacher))


@pytest.mark.parametrize("name", ["rkd_distance", "rkd_angle", "at", "sp", "nst"])
@examples
@given(pairs(False), st.floats(0.125, 100))
def test_the_size_of_the_features_does_not_matter(name, pair, factor):
    student, teacher = pair
    _same(LOSSES[name](student * factor, teacher / factor), LOSSES[name](student, teacher))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "vid"])
@examples
@given(maps())
def test_where_both_agree_it_is_zero_and_has_no_slope(name, features):
    agreed = features.clone().requires_grad_()
    value = LOSSES[name](agreed, features)
    value.backward()
    assert abs(value.item()) < 1e-9
    # relative to the features: PKT's 1e-7 beside their norm tells more on small ones
    assert (agreed.grad * features).abs().max().item() < 1e-6


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("vid", "pkt")])
@examples
@given(st.data())
def test_it_is_never_below_zero(name, data):
    assert LOSSES[name](*data.draw(pairs(name in ONE_SHAPE))).item() >= -1e-9
