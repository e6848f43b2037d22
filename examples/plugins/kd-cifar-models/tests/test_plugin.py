"""The declarations keep the contract, and `kd` knows them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kd_dev.testing import parametrize_with_checks, plugin_checks

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.json"))
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@parametrize_with_checks(plugin_checks("kd-cifar-models"))
def test_conformance(check):
    check()


def kd(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kdcore", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_it_is_listed(entries):
    (plugin,) = json.loads(kd("plugins", "kd-cifar-models", "--json").stdout)
    assert (plugin["status"], plugin["heavy"]) == ("loaded", [])
    assert set(plugin["models"]) == set(entries)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_specs_are_right_but_for_other_plugins_and_data(path, entries):
    """The distillers come from kd-classic, which need not be here, and the data are not here."""
    shown = kd(
        "validate", path, "--no-models", "--json", "--set", "distiller=vanilla", "--set", "task.weight=1"
    )
    problems = {one["where"] for one in json.loads(shown.stdout).get("problems", [])}
    assert problems <= {"data.dataset", "teacher.checkpoint"}
    spec = json.loads(path.read_text())
    assert spec["student"]["model"] in entries


def test_the_readme_names_every_model(entries):
    assert [name for name in entries if f"`{name}`" not in README] == []


def test_the_readmes_specs_are_those_in_the_folder():
    assert [path.name for path in SPECS if f"specs/{path.name}" not in README] == []
