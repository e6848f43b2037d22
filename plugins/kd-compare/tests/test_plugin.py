from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import kd_compare
import pytest
from kd_compare import plugin

from kdcore import PLUGIN_API, Launcher, LaunchSetup, Options

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _resolve(target: str):
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def test_the_distribution_has_the_entry_point():
    (found,) = [entry for entry in entry_points(group="kdcore") if entry.name == "kd-compare"]
    assert found.load() is plugin
    assert plugin.PLUGIN_API == PLUGIN_API


def test_what_is_declared_works():
    commands = plugin.kd_commands()
    assert [command.name for command in commands] == ["compare", "tune"]
    assert all(callable(_resolve(command.target)) for command in commands)
    launchers = plugin.kd_launchers()
    assert [launcher.name for launcher in launchers] == ["local", "slurm", "ray", "commands"]
    for launcher in launchers:
        target = _resolve(launcher.target)
        options = None if launcher.options is None else _resolve(launcher.options)
        if options is not None:
            assert issubclass(options, Options)
            assert all(field.description for field in options.model_fields.values())
        assert all(callable(getattr(target, name)) for name in ("start", "attach", "ended", "stop"))
        if launcher.name in ("local", "commands"):  # the others need a cluster
            made = target(None if options is None else options(), LaunchSetup(Path("unused"), 1))
            assert isinstance(made, Launcher)


@pytest.mark.parametrize("module", ["kd_compare.plugin", "kd_compare", "kd_compare.command"])
def test_importing_it_imports_nothing_heavy(module: str):
    code = (
        f"import sys, {module}\n"
        "from kd_compare.plugin import kd_commands, kd_launchers\n"
        "kd_commands(), kd_launchers()\n"
        "print(sorted({'torch', 'timm', 'numpy', 'torchvision', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_has_what_it_names_and_nothing_else():
    assert all(callable(getattr(kd_compare, name)) for name in kd_compare.__all__)
    assert kd_compare.compare is import_module("kd_compare.comparison").compare
    with pytest.raises(AttributeError, match="no attribute 'compares'"):
        _ = kd_compare.compares


def test_the_readme_names_what_there_is():
    table = README.partition("| name | what it is |")[2]
    assert set(re.findall(r"`(\w+)(?:\(\))?`", table)) == set(kd_compare.__all__)
    names = {entry.name for entry in [*plugin.kd_commands(), *plugin.kd_launchers()]}
    assert {name for name in names if f"| `{name}` |" in README} == names
