"""The plugin and its command keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, command_checks, parametrize_with_checks, plugin_checks


@parametrize_with_checks([*plugin_checks("kd-init"), *command_checks("init")])
def test_conformance(check: Check):
    check()
