"""A plugin with a recipe, a distiller and the papers' settings for it; each text can be replaced."""

from __future__ import annotations

import sys

import pytest

from kdcore.plugins import Candidate, Plugins

PLUGIN = """
from kdcore import DistillerEntry, Paper, RecipeEntry, hookimpl

@hookimpl
def kd_distillers():
    return [DistillerEntry(name="toy", kind="logit", summary="A toy.", target="recipe_toys.options:Toy",
                           options="recipe_toys.options:ToyOptions", settings="recipe_toys:data/toy.toml")]

@hookimpl
def kd_recipes():
    return [RecipeEntry(name="fast", summary="Fast.", path="recipe_toys:data/fast.toml",
                        paper=Paper("On Speed", 2020, "https://example.org"))]
"""
OPTIONS = """
from kdcore import DistillerOptions

class ToyOptions(DistillerOptions):
    alpha: float = 1.0
    beta: float = 1.0
"""
FAST = """
use = "toys"
variant_of = "cifar-240"

[[sources]]
title = "A toy"
url = "https://example.org"
files = ["a.yaml"]

[spec.train]
epochs = 3
batch_size = 7
"""
TOY = """
[recipes.fast]
source = "toys a.yaml"
options = {alpha = 5.0}
spec.train.batch_size = 9

[recipes."kdcore/cifar-240"]
source = "toys b.yaml"
options = {alpha = 6.0}

[[pairs]]
teachers = ["big*"]
students = ["small*", "tiny"]
options = {beta = 2.0}
source = "toys c.yaml"
recipe = "fast"
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Writes the plugin, with other texts where they are given, and discovers it alone."""

    def make(*, fast=FAST, toy=TOY, plugin=PLUGIN, name="kd-toys", module="recipe_toys"):
        package = tmp_path / "site" / module
        (package / "data").mkdir(parents=True)
        files = {
            "__init__.py": "",
            "plugin.py": plugin,
            "options.py": OPTIONS,
            "data/fast.toml": fast,
            "data/toy.toml": toy,
        }
        for file, text in files.items():
            if text is not None:
                (package / file).write_bytes(
                    text if isinstance(text, bytes) else text.replace("recipe_toys", module).encode()
                )
        candidates.append(Candidate(name, f"{module}.plugin", name, "1.2", str(package)))
        return Plugins.discover(candidates, disabled=(), strict=True)

    candidates: list[Candidate] = []
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield make
    for candidate in candidates:
        package = candidate.value.partition(".")[0]
        for loaded in [item for item in sys.modules if item.partition(".")[0] == package]:
            del sys.modules[loaded]
