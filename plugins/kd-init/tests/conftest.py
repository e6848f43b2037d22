"""The core, kd-init, and a fake plugin with distillers for each kind of pair; and `kd` in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdcore.cli import main
from kdcore.plugin import get_plugins

TOYS = """
from kdcore import DistillerEntry, RecipeEntry, Suits, hookimpl

def distiller(name, *suits, **more):
    code = "kd_toys.code:Toy", "kd_toys.options:ToyOptions"
    return DistillerEntry(name, "logit", "A toy.", *code, suits=suits, **more)

@hookimpl
def kd_distillers():
    return [
        distiller("plain", Suits("any", "the plain method", rank=90), settings="kd_toys:settings.toml"),
        distiller("twin", Suits("same family", "for relatives", rank=10), Suits("other family", "works too", rank=20)),
        distiller("cousin", Suits("other family", "for cousins", rank=10), Suits("any", "at last", rank=95)),
        distiller("bridge", Suits("other kind", "for strangers", rank=10), recipes=("gone", "toy-100")),
        distiller("quiet"),
    ]

@hookimpl
def kd_recipes():
    return [RecipeEntry("toy-100", "A toy's ImageNet.", "kd_toys:recipe.toml")]
"""
OPTIONS = """
from kdcore import DistillerOptions

class ToyOptions(DistillerOptions):
    beta: float = 1.0
    stages: tuple[int, ...] = (1,)
"""
CODE = """
from torch import nn
from kdcore import Requires

class Toy(nn.Module):
    def __init__(self, options, setup):
        super().__init__()
        self.requires = Requires()

    def forward(self, student, teacher, batch, progress):
        return {"toy": student.logits.mean()}
"""
SETTINGS = """
[recipes.cifar-240]
source = "toys a.yaml"
options = {beta = 2.0}

[[pairs]]
teachers = ["resnet*"]
students = ["resnet18"]
options = {beta = 2.0, stages = [2, 3]}
source = "toys b.yaml"

[[pairs]]
teachers = ["resnet50"]
students = ["resnet18"]
recipe = "imagenet-100"
options = {beta = 3.0}
source = "toys c.yaml"
"""
RECIPE = """
use = "224 px, CNN students"
variant_of = "imagenet-100"
spec.train.epochs = 3
"""
FILES = {
    "__init__.py": "",
    "plugin.py": TOYS,
    "options.py": OPTIONS,
    "code.py": CODE,
    "settings.toml": SETTINGS,
    "recipe.toml": RECIPE,
}


def add_plugin(site: Path, distribution: str, files: dict[str, str]) -> None:
    module = distribution.replace("-", "_")
    (site / module).mkdir(parents=True)
    for name, text in files.items():
        (site / module / name).write_text(text)
    folder = site / f"{module}-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text(f"[kdcore]\n{distribution} = {module}.plugin\n")
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    get_plugins.cache_clear()


@pytest.fixture
def alone(monkeypatch):
    """The core and kd-init."""
    monkeypatch.delenv("KD_STRICT_PLUGINS", raising=False)
    monkeypatch.delenv("KD_DISABLE_PLUGINS", raising=False)
    get_plugins.cache_clear()
    others = {info.distribution for info in get_plugins().infos} - {"kdcore", "kd-init"}
    monkeypatch.setenv("KD_DISABLE_PLUGINS", ",".join(sorted(others)))
    get_plugins.cache_clear()
    yield
    get_plugins.cache_clear()


@pytest.fixture
def site(alone, tmp_path_factory, monkeypatch):
    """A folder for fake distributions; what is imported from it is forgotten afterwards."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def toys(site):
    """The fake plugin."""
    add_plugin(site, "kd-toys", FILES)


@pytest.fixture
def kd(capsys, toys):
    """Run `kd` in this process."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=out, err=err)

    return call
