from __future__ import annotations

import pytest
from kd_feature import options
from kd_feature.plugin import kd_distillers
from pydantic import ValidationError

from kdcore import DistillerOptions

ALL = [getattr(options, entry.options.partition(":")[2]) for entry in kd_distillers()]
STAGED = [found for found in ALL if "stages" in found.model_fields]


@pytest.mark.parametrize(
    ("found", "defaults"),
    [
        (options.FitNetOptions, {"weight": 100, "stages": (2,), "regressor": "auto"}),
        (options.ATOptions, {"weight": 1000, "stages": (1, 2, 3, 4), "power": 2}),
        (options.NSTOptions, {"weight": 50, "stages": (1, 2, 3, 4)}),
        (options.VIDOptions, {"weight": 1, "stages": (1, 2, 3, 4), "initial_variance": 5}),
        (options.SPOptions, {"weight": 3000, "stages": (4,)}),
        (options.RKDOptions, {"weight": 1, "distance_weight": 25, "angle_weight": 50}),
        (options.PKTOptions, {"weight": 30000}),
        (options.CCOptions, {"weight": 0.02, "dim": 128}),
        (
            options.CRDOptions,
            {"weight": 0.8, "dim": 128, "negatives": 16384, "temperature": 0.07, "momentum": 0.5},
        ),
    ],
)
def test_the_defaults_are_those_of_repdistiller(found, defaults):
    assert found().model_dump() == defaults


@pytest.mark.parametrize("found", ALL)
def test_every_option_is_described_and_unknown_ones_are_errors(found):
    assert issubclass(found, DistillerOptions)
    assert all(field.description for field in found.model_fields.values())
    with pytest.raises(ValidationError, match="wieght"):
        found(wieght=1.0)
    with pytest.raises(ValidationError, match="weight"):
        found(weight=-0.1)


@pytest.mark.parametrize("found", STAGED)
@pytest.mark.parametrize("stages", [[1], [1, 2, 3, 4], ["layer3.1"], [[1, 2], "blocks.7"], [["a.b", 3]]])
def test_stages_are_numbers_paths_and_pairs(found, stages):
    expected = tuple(tuple(one) if isinstance(one, list) else one for one in stages)
    assert found.model_validate({"stages": stages}).stages == expected


@pytest.mark.parametrize("found", STAGED)
@pytest.mark.parametrize(
    "stages", [[], [0], [5], [True], [""], [1.5], [[1]], [[1, 2, 3]], [[1, 5]], 2, "layer3"]
)
def test_other_stages_are_errors(found, stages):
    with pytest.raises(ValidationError, match="stages"):
        found.model_validate({"stages": stages})


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (options.FitNetOptions, {"regressor": "mlp"}),
        (options.ATOptions, {"power": 0}),
        (options.VIDOptions, {"initial_variance": 0}),
        (options.RKDOptions, {"distance_weight": -1}),
        (options.RKDOptions, {"angle_weight": -1}),
        (options.CCOptions, {"dim": 0}),
        (options.CRDOptions, {"dim": 0}),
        (options.CRDOptions, {"negatives": 0}),
        (options.CRDOptions, {"temperature": 0}),
        (options.CRDOptions, {"momentum": 1.1}),
    ],
)
def test_each_methods_own_options_are_checked(found, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        found(**wrong)
