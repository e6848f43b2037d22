"""What is declared, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import kd_dev
import pytest
from kd_dev import plugin

from kdcore import PLUGIN_API


def test_the_distribution_has_its_entry_points():
    (found,) = [entry for entry in entry_points(group="kdcore") if entry.name == "kd-dev"]
    assert found.load() is plugin
    assert plugin.PLUGIN_API == PLUGIN_API
    (kit,) = entry_points(group="kdcore.testing")
    assert kit.load().__name__ == "kd_dev.testing"


@pytest.mark.parametrize("module", ["kd_dev", "kd_dev.plugin", "kd_dev.command", "kd_dev.testing"])
def test_importing_it_is_light(module: str):
    heavy = ("torch", "timm", "pydantic", "jinja2", "pytest")
    if module == "kd_dev.command":
        heavy = heavy[:2]  # typer may import pydantic's types
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_of_the_package():
    assert {"NewPlugin", "new_plugin"} <= set(dir(kd_dev) + kd_dev.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'old_plugin'"):
        _ = kd_dev.old_plugin
