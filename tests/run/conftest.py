"""Plugins for runs: fake distributions whose entry module declares, and other modules with the code."""

from __future__ import annotations

import sys
import textwrap

import pytest

from kdcore.plugins import get_plugins


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a fake distribution for this process; keywords are the modules that it has next to the entry module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def add(distribution, entry, **modules):
        module = distribution.replace("-", "_")
        for name, code in {module: entry, **modules}.items():
            (site / f"{name}.py").write_text(textwrap.dedent(code))
        folder = site / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[kdcore]\n{distribution} = {module}\n")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        get_plugins.cache_clear()

    yield add
    get_plugins.cache_clear()
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]
