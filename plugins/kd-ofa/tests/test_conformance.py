"""The plugin and its distiller keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, distiller_checks, parametrize_with_checks, plugin_checks, recipe_checks
from kd_ofa.plugin import kd_recipes


@parametrize_with_checks(plugin_checks("kd-ofa"))
def test_the_plugin(check: Check):
    check()


@parametrize_with_checks(distiller_checks("ofa"))
def test_the_distiller(check: Check):
    check()


@parametrize_with_checks(
    [
        check
        for check in distiller_checks("ofa", options={"eps": 1.5, "stages": ["layer2.0", "layer4"]})
        if check.id
        in ("options_roundtrip", "terms_are_scalars", "gradient_to_heads", "large_logits", "deepcopy")
    ]
)
def test_with_module_paths(check: Check):
    check()


@parametrize_with_checks([check for entry in kd_recipes() for check in recipe_checks(entry.name)])
def test_the_recipes(check: Check):
    check()
