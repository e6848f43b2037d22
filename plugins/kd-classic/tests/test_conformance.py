"""The plugin and its distillers keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_classic.plugin import kd_distillers, kd_recipes
from kd_dev.testing import Check, distiller_checks, parametrize_with_checks, plugin_checks, recipe_checks


@parametrize_with_checks(plugin_checks("kd-classic"))
def test_the_plugin(check: Check):
    check()


@parametrize_with_checks(
    [check for entry in kd_distillers() for check in distiller_checks(entry.name)],
    expected_failures={
        "pskd-gradient_to_student": "in the first epoch its targets are the labels, so the term is 0",
    },
)
def test_the_distillers(check: Check):
    check()


@parametrize_with_checks(
    [
        check
        for name in ("kd", "dkd")
        for check in distiller_checks(name, options={"standardize": True, "temperature": 2.0})
        if check.id
        in ("terms_are_scalars", "gradient_to_student", "large_logits", "batch_of_one", "two_classes")
    ]
)
def test_with_standardized_logits(check: Check):
    check()


@parametrize_with_checks(
    [
        check
        for check in distiller_checks("wkd", options={"cost": "logits"})
        # the others look at a few samples, which have not all classes
        if check.id in ("builds", "preflight")
    ]
)
def test_with_costs_from_a_pass_of_the_teacher(check: Check):
    check()


@parametrize_with_checks([check for entry in kd_recipes() for check in recipe_checks(entry.name)])
def test_the_recipes(check: Check):
    check()
