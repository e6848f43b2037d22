"""`kdcore.testing`, the first name of the conformance kit, is what an installed package declares."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch):
    """`kdcore.testing` was not imported before."""
    import kdcore

    for name in [name for name in sys.modules if name.partition(".testing")[0] == "kdcore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(kdcore, "testing", raising=False)


def test_the_kit_is_found_by_its_entry_point():
    kd_dev = pytest.importorskip("kd_dev.testing")
    from kdcore.testing import check_plugin

    assert check_plugin is kd_dev.check_plugin


def test_its_submodules_can_be_imported_and_nothing_heavy_comes_with_the_kit():
    pytest.importorskip("kd_dev.testing")
    code = (
        "import sys, kdcore.testing; assert 'torch' not in sys.modules; from kdcore.testing.values import numbers; "
        "assert numbers(2, seed=1).shape == (2,)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_kit_its_package_is_named(forgotten, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    with pytest.raises(ImportError, match=r"conformance kit is not installed.*pip install kd-dev"):
        import kdcore.testing  # noqa: F401
