"""Fake distributions, the command line in this process, and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from kdcore.cli import main
from kdcore.plugins import find_candidates, get_plugins

HEAD = "from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, hookimpl\n"
INSTALLED = ",".join(candidate.distribution for candidate in find_candidates())


@pytest.fixture(autouse=True)
def _fresh_plugins(monkeypatch):
    for name in ("KD_DISABLE_PLUGINS", "KD_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    get_plugins.cache_clear()
    yield
    get_plugins.cache_clear()


@pytest.fixture
def add_plugin(tmp_path, monkeypatch):
    """Install a fake distribution with one module for this process and those that it starts."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    before = set(sys.modules)

    def add(distribution, code, version="1.0"):
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(HEAD + textwrap.dedent(code))
        folder = site / f"{module}-{version}.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[kdcore]\n{distribution} = {module}\n")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        get_plugins.cache_clear()
        return folder

    yield add
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def alone(monkeypatch):
    """Only the core and the fake distributions: the installed plugins are switched off."""
    monkeypatch.setenv("KD_DISABLE_PLUGINS", INSTALLED)


@pytest.fixture
def kd(capsys):
    """Run `kd` in this process."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=out, err=err)

    return call


@pytest.fixture
def kd_process():
    """Run `kd` in a process of its own."""

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "kdcore", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call
