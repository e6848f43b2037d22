"""The plugin, its command and its launcher keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, command_checks, launcher_checks, parametrize_with_checks, plugin_checks


@parametrize_with_checks([*plugin_checks("kd-compare"), *command_checks("compare")])
def test_the_plugin_and_its_command(check: Check):
    check()


@parametrize_with_checks(launcher_checks("local"))
def test_the_launcher(check: Check):
    check()
