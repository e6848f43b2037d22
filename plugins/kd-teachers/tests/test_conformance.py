"""The plugin keeps the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, parametrize_with_checks, plugin_checks


@parametrize_with_checks(plugin_checks("kd-teachers"))
def test_the_plugin(check: Check):
    check()
