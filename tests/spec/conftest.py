"""A plugin of every role, written to a folder, and specs beside it."""

import json
from types import SimpleNamespace

import pytest

from kdcore.plugins import Candidate, Plugins

ENTRY = """
from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, MetricEntry, ModelEntry, Paper, hookimpl

@hookimpl
def kd_distillers():
    options = "spec_toys.options:"
    return [
        DistillerEntry(name="toy", kind="logit", summary="A toy.", target="spec_toys.options:Toy",
                       options=options + "ToyOptions", task_weight=0.25,
                       paper=Paper("On Toys", 2020, "https://example.org")),
        DistillerEntry(name="still", kind="baseline", summary="No terms.", target="spec_toys.options:Toy",
                       options=options + "StillOptions"),
        DistillerEntry(name="unloadable", kind="logit", summary="Fails.", target="spec_toys.options:Toy",
                       options="spec_toys.absent:Options"),
        DistillerEntry(name="raising", kind="logit", summary="Fails later.", target="spec_toys.options:Toy",
                       options=options + "RaisingOptions"),
    ]

@hookimpl
def kd_feature_adapters():
    return [AdapterEntry(name="toylayers", summary="s", target="a:b", models=("m:C",))]

@hookimpl
def kd_datasets():
    return [
        DatasetEntry(name="pictures", summary="s", target="a:b", num_classes=3),
        DatasetEntry(name="drawn", summary="s", target="a:b", options="spec_toys.options:DrawnOptions"),
    ]

@hookimpl
def kd_metrics():
    return [MetricEntry(name="closeness", summary="s", target="a:b")]

@hookimpl
def kd_models():
    entries = [ModelEntry(name=name, summary="s", target="a:b") for name in ("toynet", "resnet18")]
    for name, options in (("wide", "WideOptions"), ("lax", "LaxOptions"), ("lost", "Absent")):
        entries.append(ModelEntry(name=name, summary="s", target="a:b", options="spec_toys.options:" + options))
    return entries
"""

OPTIONS = """
from __future__ import annotations
from typing import Literal
from pydantic import BaseModel, Field, field_validator
from kdcore import DistillerOptions, Options

class WideOptions(Options):
    width: int = Field(2, ge=1, description="How wide.")
    sizes: tuple[int, ...] = Field((3, 4), description="Sizes.")

class DrawnOptions(Options):
    shape: Literal["round", "square"] = Field("round", description="What is drawn.")

class LaxOptions(BaseModel):
    width: int = Field(2, description="How wide.")

class Inner(BaseModel):
    depth: int = Field(2, ge=1, description="How deep.")

class ToyOptions(DistillerOptions):
    alpha: float = Field(1.0, ge=0, description="The first factor.")
    mode: Literal["soft", "hard"] = Field("soft", description="How.")
    sizes: tuple[int, int] = Field((3, 4), description="Two sizes.")
    flag: bool = Field(False, description="A switch.")
    scale: float | Literal["auto"] = Field("auto", description="A number, or 'auto'.")
    inner: Inner = Field(default_factory=Inner, description="More.")
    stages: tuple[int, ...] = Field((1, 2), description="A tuple that a validator sees first.")

    @field_validator("stages", mode="before")
    @classmethod
    def _stages(cls, value):
        return [value] if isinstance(value, int) else value

class StillOptions(DistillerOptions):
    pass

class RaisingOptions(DistillerOptions):
    @field_validator("weight")
    @classmethod
    def _fail(cls, value):
        raise RuntimeError("a bug")
"""


@pytest.fixture(scope="session")
def toys_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    package = folder / "spec_toys"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(ENTRY)
    (package / "options.py").write_text(OPTIONS)
    return folder


@pytest.fixture
def plugins(toys_folder, monkeypatch):
    monkeypatch.syspath_prepend(toys_folder)
    candidate = Candidate("kd-toys", "spec_toys.plugin", "kd-toys", "1.2.3", str(toys_folder))
    found = Plugins.discover([candidate], disabled=(), strict=True)
    assert [info.status for info in found.infos] == ["loaded", "loaded"]
    return found


@pytest.fixture
def good():
    """The parts of a spec that is right; each call gives a new one, with sections replaced."""

    def make(**sections):
        spec = {
            "student": {"model": "resnet34"},
            "teacher": {"model": "vit_tiny_patch16_224"},
            "distiller": "toy",
        }
        return {**spec, **sections}

    return make


@pytest.fixture
def write(tmp_path):
    """Writes a spec as JSON, or a text as it is, and returns its path."""

    def put(content, name="my-run.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return put


@pytest.fixture
def problems_of(plugins, write):
    """Loads a spec that is wrong; the problems, by place."""
    from kdcore.errors import UserError
    from kdcore.spec.load import load_spec

    def load(content, name="my-run.json", **arguments):
        with pytest.raises(UserError) as caught:
            load_spec(write(content, name), plugins=plugins, **arguments)
        found = SimpleNamespace(all=caught.value.problems)
        found.by_place = {problem.where: problem for problem in found.all}
        assert len(found.by_place) == len(found.all), "a place is told twice"
        return found.by_place

    return load
