"""The plugin keeps the rules of kdcore's conformance kit."""

from __future__ import annotations

import pytest
from kd_dev.testing import Check, parametrize_with_checks, plugin_checks, transform_checks


@parametrize_with_checks(plugin_checks("kd-prune"))
def test_the_plugin(check: Check):
    check()


@parametrize_with_checks(transform_checks("prune"))
def test_the_transform(check: Check):
    pytest.importorskip("torch_pruning", reason="needs kd-prune[torch-pruning]")
    check()
