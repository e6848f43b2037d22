"""What the package declares, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kdcore.plugin import get_plugins


def test_it_is_a_plugin_with_one_command(alone):
    (info,) = [info for info in get_plugins().infos if info.distribution == "kd-init"]
    assert (info.status, info.heavy) == ("loaded", ())
    assert [(entry.name, entry.target) for entry in info.entries] == [("init", "kd_init.command:init")]


@pytest.mark.parametrize("module", ["kd_init", "kd_init.plugin", "kd_init.command", "kd_init.asking"])
def test_importing_it_needs_nothing_heavy(module):
    heavy = {"torch", "timm", "torchvision", "numpy"}
    if module in ("kd_init", "kd_init.plugin"):
        heavy.add("pydantic")
    code = f"import json, sys, {module}; print(json.dumps(sorted(set(sys.modules) & {heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_names_from_python():
    import kd_init

    assert kd_init.__all__ == ["InitResult", "init"]
    assert kd_init.InitResult.__module__ == "kd_init.files"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kd_init.nothing
