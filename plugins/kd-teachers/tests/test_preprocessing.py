"""What transformers' files say of images."""

from __future__ import annotations

import pytest
from kd_teachers.preprocessing import read_preprocessing


def test_mean_and_deviation_are_of_images_in_0_to_1():
    found = read_preprocessing({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]})
    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    plain = read_preprocessing({"do_normalize": False})
    assert (plain.mean, plain.std) == ((0, 0, 0), (1, 1, 1))


def test_other_factors_are_in_mean_and_deviation():
    """EfficientNet's processors give x / 127.5 - 1; some models take 0 to 255."""
    found = read_preprocessing({"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True})
    assert (found.mean, found.std) == (pytest.approx((0.5,) * 3), pytest.approx((0.5,) * 3))
    raw = read_preprocessing({"do_normalize": False, "do_rescale": False})
    assert (raw.mean, raw.std) == ((0, 0, 0), pytest.approx((1 / 255,) * 3))


@pytest.mark.parametrize(("size", "wanted"), [
    ({"height": 32, "width": 48}, (32, 48)),
    ({"shortest_edge": 40}, (40, 40)),
    (224, (224, 224)),
    (None, None),
])  # fmt: skip
def test_sizes(size, wanted):
    assert read_preprocessing({"size": size}).image_size == wanted


def test_a_crop():
    found = read_preprocessing({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True})
    assert (found.image_size, found.crop_pct) == ((224, 224), 0.875)


def test_the_order_of_colours():
    assert read_preprocessing({"do_flip_channel_order": True}).flips_channels
    assert not read_preprocessing({}).flips_channels
