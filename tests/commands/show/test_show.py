"""`kdcore.show`: what a name means, typed, and without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kdcore
from kdcore import AdapterEntry, Description, DistillerEntry, OptionInfo, RunSpec, UserError
from kdcore.spec.recipes import Recipe


def test_a_distiller():
    (found,) = kdcore.show("dkd")
    assert isinstance(found, Description)
    assert isinstance(found.entry, DistillerEntry)
    assert (found.role, found.name, found.plugin.distribution) == ("distiller", "dkd", "kd-classic")
    beta = next(option for option in found.options if option.name == "beta")
    assert isinstance(beta, OptionInfo)
    assert (beta.type, beta.required) == ("float >= 0", False)
    spec = RunSpec.model_validate(found.example)
    assert (spec.distiller[0].name, spec.distiller[0].options["beta"]) == ("dkd", beta.default)
    assert kdcore.show("kd-classic/dkd") == (found,)


def test_an_adapter_has_no_options():
    (found,) = kdcore.show("kdcore/timm")  # an exporter has this name too
    assert isinstance(found.entry, AdapterEntry)
    assert found.options is None
    assert found.example["student"]["adapter"] == "timm"


def test_a_recipe():
    (found,) = kdcore.show("cifar-240")
    assert isinstance(found.entry, Recipe)
    assert (found.role, found.plugin.name, found.example) == ("recipe", "kdcore", {"recipe": "cifar-240"})
    assert "kd-classic/dkd" in found.entry.distillers


def test_an_unknown_name():
    with pytest.raises(UserError, match="did you mean 'dkd'"):
        kdcore.show("dkdd")


def test_nothing_heavy_is_imported():
    code = (
        "import sys, kdcore; kdcore.show('dkd'), kdcore.doctor, kdcore.schema; "
        "kdcore.list_plugins(); print(sorted({'torch', 'timm', 'torchvision', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
