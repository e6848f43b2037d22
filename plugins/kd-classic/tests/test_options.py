"""The options of every distiller, and what its entry says; the values are in cases/."""

from __future__ import annotations

import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kd_classic.plugin import kd_distillers
from pydantic import ValidationError

from kdcore import DistillerOptions

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
DISTILLERS = {name: case for family in CASES for name, case in family["DISTILLERS"].items()}
ENTRIES = {entry.name: entry for entry in kd_distillers()}
WRONG = [
    {"temperature": 0},
    {"temperature": -1},
    {"temperature": float("inf")},
    {"weight": -0.1},
]
every_name = pytest.mark.parametrize("name", ENTRIES)


def _options(name: str) -> Any:
    module, _, attribute = ENTRIES[name].options.partition(":")
    return getattr(import_module(module), attribute)


def test_every_distiller_has_a_case():
    assert set(DISTILLERS) == set(ENTRIES)


@every_name
def test_the_defaults_and_the_task_weight_are_the_authors(name):
    assert _options(name)().model_dump() == DISTILLERS[name]["defaults"]
    assert ENTRIES[name].task_weight == DISTILLERS[name]["task_weight"]


@every_name
def test_every_option_is_described_and_unknown_ones_are_errors(name):
    options = _options(name)
    assert issubclass(options, DistillerOptions)
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValidationError, match="temprature"):
        options(temprature=1.0)


@every_name
def test_values_out_of_range_are_errors(name):
    options = _options(name)
    for wrong in WRONG + DISTILLERS[name]["wrong"]:
        (option,) = wrong
        if option in options.model_fields or wrong not in WRONG:
            with pytest.raises(ValidationError, match=option):
                options(**wrong)
