from __future__ import annotations

import pytest
from kd_classic.options import DISTOptions, DKDOptions, KDOptions, NKDOptions
from pydantic import ValidationError

from kdcore import DistillerOptions

ALL = [KDOptions, DKDOptions, NKDOptions, DISTOptions]


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        (KDOptions, {"weight": 0.9, "temperature": 4.0, "standardize": False}),
        (
            DKDOptions,
            {
                "weight": 1.0,
                "alpha": 1.0,
                "beta": 8.0,
                "temperature": 4.0,
                "warmup_epochs": 20,
                "standardize": False,
            },
        ),
        (NKDOptions, {"weight": 1.0, "gamma": 1.5, "temperature": 1.0}),
        (DISTOptions, {"weight": 2.0, "beta": 1.0, "gamma": 1.0, "temperature": 1.0}),
    ],
)
def test_the_defaults_are_the_authors(options, defaults):
    assert options().model_dump() == defaults


@pytest.mark.parametrize("options", ALL)
def test_every_option_is_described_and_unknown_ones_are_errors(options):
    assert issubclass(options, DistillerOptions)
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValidationError, match="temprature"):
        options(temprature=1.0)


@pytest.mark.parametrize("options", ALL)
@pytest.mark.parametrize(
    "wrong", [{"temperature": 0}, {"temperature": -1}, {"temperature": float("inf")}, {"weight": -0.1}]
)
def test_values_out_of_range_are_errors(options, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        options(**wrong)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (DKDOptions, {"alpha": -1}),
        (DKDOptions, {"beta": -1}),
        (DKDOptions, {"warmup_epochs": -1}),
        (DKDOptions, {"warmup_epochs": 2.5}),
        (NKDOptions, {"gamma": -1}),
        (NKDOptions, {"standardize": True}),
        (DISTOptions, {"beta": -1}),
        (DISTOptions, {"gamma": -1}),
    ],
)
def test_each_methods_own_options_are_checked(options, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        options(**wrong)
