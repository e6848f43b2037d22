from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import kd_classic
import pytest
import torch
from kd_classic import plugin

from kdcore import PLUGIN_API, DistillerOptions

ENTRIES = plugin.kd_distillers()


def _resolve(target: str) -> type:
    module, _, name = target.partition(":")
    found: type = getattr(import_module(module), name)
    return found


def test_what_is_declared():
    assert plugin.PLUGIN_API == PLUGIN_API
    for entry in ENTRIES:
        assert entry.kind in ("logit", "self", "mutual")
        assert entry.formula
        assert entry.paper is not None
        assert entry.paper.url.startswith("https://")


def test_the_distribution_has_the_entry_point():
    (found,) = [entry for entry in entry_points(group="kdcore") if entry.name == "kd-classic"]
    assert found.value == "kd_classic.plugin"
    assert found.load() is plugin


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_what_is_declared_is_there(entry):
    # test_conformance.py builds it and trains with it
    assert issubclass(_resolve(entry.options), DistillerOptions)
    distiller = _resolve(entry.target)
    assert issubclass(distiller, torch.nn.Module)
    assert callable(distiller.forward)


@pytest.mark.parametrize("module", ["kd_classic.plugin", "kd_classic"])
def test_declaring_imports_nothing_heavy(module):
    code = (
        f"import sys, {module}\n"
        "from importlib import import_module\n"
        "from kd_classic.plugin import kd_distillers\n"
        "[import_module(entry.options.partition(':')[0]) for entry in kd_distillers()]\n"
        "print(sorted({'torch', 'timm', 'numpy', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_gives_out_what_it_names_and_nothing_else():
    assert all(callable(getattr(kd_classic, name)) for name in kd_classic.__all__)
    assert set(kd_classic.__all__) <= set(dir(kd_classic))
    with pytest.raises(AttributeError, match="no attribute 'fitnet_loss'"):
        _ = kd_classic.fitnet_loss
