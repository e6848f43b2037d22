"""`kd-all` and `kdcore[all]` name every package of this repository."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]


PLUGINS = {project(file.parent)["name"] for file in ROOT.glob("plugins/*/pyproject.toml")} - {"kd-all"}


def test_kd_all():
    needed = {Requirement(text).name for text in project(ROOT / "plugins" / "kd-all")["dependencies"]}
    assert needed == {"kdcore", *PLUGINS}


def test_the_extra_of_kdcore():
    extra = project(ROOT)["optional-dependencies"]["all"]
    assert {Requirement(text).name for text in extra} == PLUGINS


def test_one_version_for_all():
    versions = {
        project(file.parent)["version"] for file in [ROOT / "x", *ROOT.glob("plugins/*/pyproject.toml")]
    }
    assert len(versions) == 1
