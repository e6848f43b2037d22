"""The plugin, its commands and its sections keep the rules of kdcore's conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, command_checks, parametrize_with_checks, plugin_checks, section_checks
from kd_report.plugin import kd_commands, kd_report_sections


@parametrize_with_checks(
    [*plugin_checks("kd-report"), *(check for entry in kd_commands() for check in command_checks(entry.name))]
)
def test_the_plugin_and_its_commands(check: Check):
    check()


@parametrize_with_checks(
    [check for entry in kd_report_sections() for check in section_checks(f"kd-report/{entry.name}")]
)
def test_the_sections(check: Check):
    check()
