from __future__ import annotations

import pytest

from kdcore.data.inputs import InputConfig, per_channel, resolve_input


def test_one_number_is_both_sides():
    config = InputConfig(image_size=32, mean=(0.5,), std=(1,))
    assert config.image_size == (32, 32) == config.size


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 0),
        ("image_size", (3, 32, 32)),
        ("mean", ()),
        ("std", (0.2, 0.0, 0.2)),
        ("crop_pct", 0),
        ("crop_pct", 1.1),
    ],
)
def test_wrong_values(field, value):
    fields = {"image_size": 32, "mean": (0.5,), "std": (0.5,), field: value}
    with pytest.raises(ValueError, match=field):
        InputConfig(**fields)


def test_spec_goes_before_model(make_data):
    model = InputConfig(224, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", 0.875)
    data = make_data(image_size=128, mean=(0.5,), interpolation="nearest")
    found = resolve_input(data, model)
    assert found == InputConfig(128, (0.5, 0.5, 0.5), (0.4, 0.5, 0.6), "nearest", 0.875)
    assert resolve_input(data, found) == found


def test_crop_pct_is_one_up_to_64_pixels(make_data):
    model = InputConfig(224, (0.5,), (0.5,), "bicubic", 0.875)
    assert resolve_input(make_data(image_size=64), model).crop_pct == 1.0
    assert resolve_input(make_data(image_size=65), model).crop_pct == 0.875
    assert resolve_input(make_data(image_size=64, crop_pct=0.5), model).crop_pct == 0.5


def test_channels():
    assert per_channel((0.5,), 3) == (0.5, 0.5, 0.5)
    assert per_channel((1.0, 2.0, 6.0), 1) == (3.0,)
    assert per_channel((1.0, 2.0, 3.0), 3) == (1.0, 2.0, 3.0)


def test_replace_leaves_what_is_none():
    config = InputConfig(32, (0.5,), (0.5,), "bilinear", 0.9)
    assert config.replace() == config
    assert config.replace(size=(8, 9), crop_pct=1.0) == InputConfig((8, 9), (0.5,), (0.5,), "bilinear", 1.0)
