from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import kd_ofa
import pytest
from kd_ofa import plugin

from kdcore import PLUGIN_API, DistillerOptions


def test_the_entry_point_names_the_plugin():
    (found,) = [point for point in entry_points(group="kdcore") if point.name == "kd-ofa"]
    assert found.load() is plugin
    assert plugin.PLUGIN_API == PLUGIN_API


def test_what_is_declared_is_there():
    (entry,) = plugin.kd_distillers()
    assert (entry.name, entry.kind, entry.task_weight) == ("ofa", "heterogeneous", 1.0)
    assert entry.paper.year == 2023
    for reference, base in ((entry.target, object), (entry.options, DistillerOptions)):
        module, _, name = reference.partition(":")
        assert issubclass(getattr(import_module(module), name), base)


def test_finding_it_imports_nothing_heavy():
    code = (
        "import sys, kd_ofa.plugin, kd_ofa.options; kd_ofa.plugin.kd_distillers(); kd_ofa.options.OFAOptions();"
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_gives_its_names_and_no_others():
    assert kd_ofa.__all__ == ["OFA", "ofa_loss"]
    assert set(kd_ofa.__all__) <= set(dir(kd_ofa))
    assert all(callable(getattr(kd_ofa, name)) for name in kd_ofa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'OFAA'"):
        _ = kd_ofa.OFAA
