"""The options of every distiller, and what its entry says; the values are in cases/."""

from __future__ import annotations

import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kd_feature.plugin import kd_distillers
from pydantic import ValidationError

from kdcore import DistillerEntry, DistillerOptions
from kdcore.inspect import paper_settings
from kdcore.plugin import get_plugins

CASES = [runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("cases").glob("*.py"))]
DISTILLERS = {name: case for family in CASES for name, case in family["DISTILLERS"].items()}
ENTRIES = {entry.name: entry for entry in kd_distillers()}


def _options(name: str) -> Any:
    module, _, attribute = ENTRIES[name].options.partition(":")
    return getattr(import_module(module), attribute)


every_name = pytest.mark.parametrize("name", ENTRIES)
staged = pytest.mark.parametrize(
    "name", [name for name in ENTRIES if "stages" in _options(name).model_fields]
)


def test_every_distiller_has_a_case():
    assert set(DISTILLERS) == set(ENTRIES)


@every_name
def test_the_defaults_are_those_of_the_case(name):
    assert _options(name)().model_dump() == DISTILLERS[name]["defaults"]
    assert ENTRIES[name].kind == DISTILLERS[name]["kind"]


@every_name
def test_every_option_is_described_and_unknown_ones_are_errors(name):
    options = _options(name)
    assert issubclass(options, DistillerOptions)
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValidationError, match="wieght"):
        options(wieght=1.0)
    with pytest.raises(ValidationError, match="weight"):
        options(weight=-0.1)


@staged
@pytest.mark.parametrize("stages", [[1], [1, 2, 3, 4], ["layer3.1"], [[1, 2], "blocks.7"], [["a.b", 3]]])
def test_stages_are_numbers_paths_and_pairs(name, stages):
    expected = tuple(tuple(one) if isinstance(one, list) else one for one in stages)
    assert _options(name).model_validate({"stages": stages}).stages == expected


@staged
@pytest.mark.parametrize(
    "stages", [[], [0], [5], [True], [""], [1.5], [[1]], [[1, 2, 3]], [[1, 5]], 2, "layer3"]
)
def test_other_stages_are_errors(name, stages):
    with pytest.raises(ValidationError, match="stages"):
        _options(name).model_validate({"stages": stages})


@every_name
def test_each_methods_own_options_are_checked(name):
    for wrong in DISTILLERS[name]["wrong"]:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            _options(name)(**wrong)


@pytest.mark.parametrize(
    ("name", "stages"), [("fitnet", [3]), ("at", [2, 3, 4]), ("nst", [2, 3, 4]), ("vid", [2, 3, 4])]
)
def test_stages_of_the_networks_of_repdistiller(name, stages):
    settings = paper_settings(get_plugins().find(DistillerEntry, name, "distiller"), "distiller")
    (pair,) = settings.pairs
    assert pair.options == {"stages": stages}
    assert pair.matches("cifar_resnet32x4", "cifar_shufflenetv1")
    assert not pair.matches("cifar_vgg13", "cifar_vgg8")  # the defaults are right there
    assert not pair.matches("resnet50", "resnet18")
