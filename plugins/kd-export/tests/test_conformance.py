"""The plugin, its commands and its exporters keep the rules of kdcore's conformance kit."""

from __future__ import annotations

import pytest
from kd_dev.testing import (
    Check,
    command_checks,
    exporter_checks,
    parametrize_with_checks,
    plugin_checks,
    transform_checks,
)
from kd_export.plugin import kd_commands, kd_exporters

SLOW = {"coreml", "onnx"}  # their exports take seconds; other tests make some


@parametrize_with_checks(
    [
        *plugin_checks("kd-export"),
        *transform_checks("int8"),
        *(check for entry in kd_commands() for check in command_checks(entry.name)),
    ]
)
def test_the_plugin_and_its_commands(check: Check):
    check()


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@parametrize_with_checks(
    [
        check
        for entry in kd_exporters()
        for check in exporter_checks(entry.name)
        if entry.name not in SLOW or check.id in ("declaration", "requirements")
    ]
)
def test_the_exporters(check: Check):
    check()
