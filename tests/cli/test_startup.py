"""What the light commands import, which is what makes them quick."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "timm", "numpy", "accelerate", "pydantic", "rich", "matplotlib", "sklearn"}

PROBE = """
import json, sys
from kdcore.cli import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as ended:
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps([ended.code or 0, modules]), file=sys.stderr)
"""


def imported(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, set(modules)


LIGHT = [
    ["--help"],
    ["--version"],
    ["list-adapters", "--json"],
    ["list-datasets"],
    ["list-recipes"],
]
WITH_OPTIONS = [
    ["list-distillers"],
    ["plugins"],
    ["list-models", "resnet*"],
    ["show", "vanilla"],
    ["run", "--help"],
    ["validate", "--help"],
    ["init", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_the_core_imports_nothing_heavy(arguments, monkeypatch):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "*")
    code, modules = imported(*arguments)
    assert code == 0
    assert "typer" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("arguments", LIGHT + WITH_OPTIONS, ids=" ".join)
def test_no_torch_is_imported_whatever_is_installed(arguments):
    code, modules = imported(*arguments)
    assert code == 0
    assert not modules & {"torch", "timm", "torchvision", "accelerate", "numpy"}
