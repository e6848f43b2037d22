"""Requirements that do not hold, and editable installations that are other than their folders."""

from __future__ import annotations

import json
import shutil

import pytest

from kdcore.plugins import Plugins
from kdcore.plugins.direct_url import editable_folder
from kdcore.plugins.health import conflicts, stale

PROJECT = """\
[project]
name = "kd-fox"
version = "1.0"
dependencies = ["kdcore >= 0.1, < 2"]
[project.entry-points.kdcore]
kd-fox = "kd_fox.plugin"
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the metadata of `kd-fox`, an editable one of the folder that has this pyproject.toml."""
    site, folder = tmp_path / "site", tmp_path / "my work" / "kd-fox"
    monkeypatch.syspath_prepend(str(site))

    def make(requires=("kdcore>=0.1,<2",), project=PROJECT, editable=True):
        info = site / "kd_fox-1.0.dist-info"
        info.mkdir(parents=True)
        lines = [
            "Metadata-Version: 2.1",
            "Name: kd-fox",
            "Version: 1.0",
            *(f"Requires-Dist: {text}" for text in requires),
        ]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text("[kdcore]\nkd-fox = kd_fox.plugin\n")
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(project)
        direct = {"url": folder.as_uri(), "dir_info": {"editable": editable}}
        (info / "direct_url.json").write_text(json.dumps(direct))
        return folder

    return make


# -- requirements ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ("kdcore>=0.1,<2", []),
        ("KDcore", []),
        ("kdcore>=7", ["kd-fox 1.0 requires kdcore>=7, but "]),
        ("kd-absent>=1", ['kd-fox 1.0 requires kd-absent>=1, which is not installed: pip install "kd-abs']),
        ("kd-absent; extra == 'test'", []),
        ("kd-absent; python_version < '3'", []),
        ("nonsense ==== 1", ["kd-fox requires 'nonsense ==== 1', which is not a valid requirement"]),
    ],
)
def test_requirements(requires, expected, installed):
    installed([requires])
    found = list(conflicts("kd-fox"))
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True)), found


def test_what_is_known_to_be_missing_is_not_told_again(installed):
    installed(["kd-absent>=1", "kd_other"])
    (told,) = conflicts("kd-fox", ["kd_absent"])
    assert "kd_other" in told


def test_what_is_not_installed_or_damaged_has_no_conflicts(installed, tmp_path):
    installed()
    (tmp_path / "site" / "kd_fox-1.0.dist-info" / "METADATA").unlink()
    assert list(conflicts("kd-fox")) == []
    assert list(conflicts("kd-absent")) == []


def test_the_core_has_what_it_requires():
    assert list(conflicts("kdcore")) == []


# -- editable installations --------------------------------------------------------------------------------------


def test_one_that_is_as_its_folder_is_fine(installed):
    folder = installed()
    assert editable_folder("kd-fox") == folder
    assert stale("kd-fox") is None


def test_its_folder_has_gone(installed):
    folder = installed()
    shutil.rmtree(folder)
    assert stale("kd-fox") == (
        f"kd-fox 1.0 is an editable installation of {folder}, which does not exist: pip uninstall kd-fox"
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('version = "1.0"', 'version = "1.1"', "its version is 1.1, but 1.0 is installed"),
        (
            "kd_fox.plugin",
            "kd_fox.entry",
            "its entry points are kd-fox = kd_fox.entry, but the installed ones are kd-fox = kd_fox.plugin",
        ),
        ('< 2"', '< 2", "einops>=0.8"', "it now requires einops>=0.8"),
    ],
)
def test_its_pyproject_has_changed(old, new, words, installed):
    folder = installed(project=PROJECT.replace(old, new))
    found = stale("kd-fox")
    assert found is not None
    assert f"whose pyproject.toml has changed since ({words})" in found
    assert found.endswith(f'pip install -e "{folder}"')


@pytest.mark.parametrize(
    "project",
    [
        "",
        "[project",
        "project = 1",
        '[project]\nname = "kd-fox"\ndynamic = ["version", "dependencies", "entry-points"]\n',
    ],
)
def test_what_the_folder_does_not_say_is_no_difference(project, installed):
    installed(project=project)
    assert stale("kd-fox") is None


def test_other_installations_are_not_editable(installed):
    installed(editable=False)
    assert editable_folder("kd-fox") is None
    assert stale("kd-fox") is None
    assert editable_folder("kd-absent") is None


@pytest.mark.parametrize("there", [True, False])
def test_a_broken_editable_one_is_mended_from_its_folder(there, installed):
    folder = installed()
    if not there:
        shutil.rmtree(folder)
    (info,) = [info for info in Plugins.discover(strict=False).infos if info.name == "kd-fox"]
    assert info.status == "broken"  # there is no kd_fox
    assert info.fix == (f'pip install -e "{folder}"' if there else "pip uninstall kd-fox")
