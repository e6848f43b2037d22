from __future__ import annotations

import math

import pytest
from kd_ofa.options import OFAOptions
from pydantic import ValidationError

from kdcore import DistillerOptions


def test_the_defaults_are_the_authors():
    assert OFAOptions().model_dump() == {
        "weight": 1.0,
        "logits_weight": 1.0,
        "stage_weight": 1.0,
        "eps": 1.0,
        "temperature": 1.0,
        "stages": (1, 2, 3, 4),
        "branch": "auto",
        "token_grid": 7,
        "width": None,
    }


def test_every_option_is_described():
    assert issubclass(OFAOptions, DistillerOptions)
    assert all(field.description for field in OFAOptions.model_fields.values())


def test_the_schema_can_be_made_and_the_options_repeated_from_json():
    assert OFAOptions.model_json_schema()["properties"].keys() == OFAOptions.model_fields.keys()
    options = OFAOptions(eps=[1.0, 1.5], stages=["layer1.0"], width=64)
    assert OFAOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("given", "of_terms"),
    [
        ({}, (1.0,) * 5),
        ({"eps": 1.5}, (1.5,) * 5),
        ({"eps": [1.5]}, (1.5,) * 5),
        ({"eps": [1, 1.1, 1.2, 1.3, 2]}, (1.0, 1.1, 1.2, 1.3, 2.0)),
        ({"eps": [0.5, 2], "stages": [4]}, (0.5, 2.0)),
        ({"eps": 2, "stages": []}, (2.0,)),
        ({"eps": [2], "stages": []}, (2.0,)),
        ({"eps": "15e-1"}, (1.5,) * 5),  # what YAML takes for a string
    ],
)
def test_eps_of_the_terms(given, of_terms):
    assert OFAOptions.model_validate(given).eps_of_terms == of_terms


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eps": [1, 2]}, "eps has 2 values for 4 stages; it must be one number, or a list of 5"),
        ({"eps": [1, 2, 3, 4]}, "eps has 4 values"),
        ({"eps": [1, 2], "stages": [1, 2]}, "a list of 3"),
        ({"eps": []}, "eps has 0 values"),
        ({"eps": 0}, "0 is not a number above 0"),
        ({"eps": -1.5}, "not a number above 0"),
        ({"eps": [1, 1, 1, 1, 0]}, "not a number above 0"),
        ({"eps": True}, "not a number above 0"),
        ({"eps": None}, "not a number above 0"),
        ({"eps": "much"}, "'much' is not a number above 0"),
        ({"eps": math.inf}, "not a number above 0"),
        ({"eps": math.nan}, "not a number above 0"),
        ({"eps": {"stage1": 1}}, "not a number above 0"),
        ({"stages": [0]}, "0 is not a stage; a stage is 1, 2, 3, 4 or a module path"),
        ({"stages": [5]}, "5 is not a stage"),
        ({"stages": [True]}, "True is not a stage"),
        ({"stages": [""]}, "'' is not a stage"),
        ({"stages": [[1]]}, "is not a stage"),
        ({"stages": [1, 1]}, "named twice"),
        ({"stages": 4}, "must be a list of stages"),
        ({"stages": "layer4"}, "must be a list of stages"),
        ({"temperature": 0}, "greater than 0"),
        ({"weight": -1}, "greater than or equal to 0"),
        ({"logits_weight": -1}, "greater than or equal to 0"),
        ({"stage_weight": -1}, "greater than or equal to 0"),
        ({"branch": "cnn"}, "'auto', 'conv' or 'token'"),
        ({"token_grid": 0}, "greater than or equal to 1"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"epsilon": 1.0}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_said_once(given, message):
    with pytest.raises(ValidationError) as caught:
        OFAOptions.model_validate(given)
    assert message in str(caught.value)
    assert caught.value.error_count() == 1
