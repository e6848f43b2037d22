"""How kd's own packages are named to an installer, for each way in which kd can have been installed."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kdcore.plugins import sources
from kdcore.plugins.direct_url import direct_url, editable_folder
from kdcore.plugins.pip_hint import pip_editable, pip_install, pip_reinstall, pip_upgrade
from kdcore.plugins.records import normalised
from kdcore.plugins.sources import located, wheel_folder

ORIGIN = sources._origin  # before the fixture of all tests replaces it
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "https://example.org/kd.git"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the metadata of a distribution; `direct` is what its direct_url.json says."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sources, "_origin", ORIGIN)
    monkeypatch.setattr(sources, "packages", lambda: frozenset(("kd-report", "kd-ofa")))

    def make(name="kdcore", direct=None, requires=()):
        info = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 0.1.0"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        if direct is not None:
            (info / "direct_url.json").write_text(direct if isinstance(direct, str) else json.dumps(direct))

    return make


@pytest.fixture
def wheels(tmp_path):
    """A folder with wheels of kdcore and kd-report."""
    folder = tmp_path / "all wheels"
    folder.mkdir()
    for name in ("kdcore", "kd_report"):
        (folder / f"{name}-0.1.0-py3-none-any.whl").touch()
    return folder


@pytest.fixture
def tree(tmp_path):
    """A source folder of kd with kd-report."""
    for folder in (tmp_path / "kd", tmp_path / "kd" / "plugins" / "kd-report"):
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").touch()
    return tmp_path / "kd"


def wheel_of(folder, name="kdcore"):
    return {"url": (folder / f"{name}-0.1.0-py3-none-any.whl").as_uri(), "archive_info": {}}


GIT = {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}}


# -- kd's own packages -------------------------------------------------------------------------------------------


def test_from_an_index(installed):
    installed()
    assert pip_install("kd-report") == "pip install kd-report"
    assert pip_install("kd-report>=0.1") == 'pip install "kd-report>=0.1"'
    assert pip_upgrade("kdcore") == "pip install --upgrade kdcore"


def test_from_a_folder_of_wheels(installed, wheels):
    installed(direct=wheel_of(wheels))
    assert pip_install("kd-report") == f'pip install kd-report --find-links "{wheels}"'
    assert pip_install("kd_report>=0.1") == f'pip install "kd_report>=0.1" --find-links "{wheels}"'
    assert pip_install("kd-report", extra="new") == f'pip install "kd-report[new]" --find-links "{wheels}"'
    assert pip_install("kd-ofa") == "pip install kd-ofa"  # the folder has no such wheel
    assert pip_upgrade("kdcore") == f'pip install --upgrade kdcore --find-links "{wheels}"'
    wheel = wheels / "kdcore-0.1.0-py3-none-any.whl"
    assert pip_reinstall("kdcore") == f'pip install --force-reinstall --no-deps "{wheel}"'
    assert wheel_folder() == (str(wheels),)


def test_a_folder_of_wheels_that_has_gone(installed, tmp_path):
    installed(direct=wheel_of(tmp_path / "gone"))
    assert pip_install("kd-report") == "pip install kd-report"
    assert pip_reinstall("kdcore") == "pip install --force-reinstall --no-deps kdcore"
    assert wheel_folder() == ()


def test_from_a_folder_of_wheels_that_only_another_package_names(installed, wheels):
    installed()
    installed("kd-all", wheel_of(wheels, "kd_all"))
    assert pip_install("kd-report") == f'pip install kd-report --find-links "{wheels}"'


def test_from_a_wheel_on_the_web(installed):
    installed(direct={"url": "https://example.org/x/kdcore-0.1.0-py3-none-any.whl", "archive_info": {}})
    url = "https://example.org/x/kd_report-0.1.0-py3-none-any.whl"
    assert pip_install("kd-report") == f'pip install "kd-report @ {url}"'
    assert wheel_folder() == ()


def test_from_an_archive_of_the_repository(installed):
    url = "https://example.org/kd/archive/main.zip"
    installed(direct={"url": url, "archive_info": {}})
    expected = f'pip install "kd-report @ {url}#subdirectory=plugins/kd-report"'
    assert pip_install("kd-report") == expected


@pytest.mark.parametrize(("editable", "flag"), [(True, "-e "), (False, "")])
def test_from_a_source_folder(editable, flag, installed, tree):
    installed(direct={"url": tree.as_uri(), "dir_info": {"editable": editable}})
    assert pip_install("kd-report") == f"pip install {flag}{tree}/plugins/kd-report"
    assert pip_install("kd-report", extra="new") == f'pip install {flag}"{tree}/plugins/kd-report[new]"'
    assert pip_install("kd-ofa") == "pip install kd-ofa"  # the folder has no such package
    assert pip_upgrade("kdcore") == f"pip install --upgrade {flag}{tree}"
    assert editable_folder("kdcore") == (tree if editable else None)


def test_a_source_folder_whose_name_needs_quotes(installed, tree):
    moved = tree.rename(tree.parent / "my $work")
    installed(direct={"url": moved.as_uri(), "dir_info": {"editable": True}})
    assert pip_install("kd-report") == f"pip install -e '{moved}/plugins/kd-report'"


def test_from_a_repository(installed):
    installed(direct=GIT)
    where = f"git+{REPOSITORY}@{COMMIT}#subdirectory=plugins/kd-report"
    assert pip_install("kd-report") == f'pip install "kd-report @ {where}"'
    assert pip_install("kd-report", extra="new") == f'pip install "kd-report[new] @ {where}"'
    assert pip_reinstall("kdcore") == (
        f'pip install --force-reinstall --no-deps "kdcore @ git+{REPOSITORY}@{COMMIT}"'
    )
    assert pip_upgrade("kdcore") == f'pip install --upgrade "kdcore @ git+{REPOSITORY}"'


def test_from_a_repository_of_this_machine(installed):
    installed(direct=GIT | {"url": "file:///srv/kd.git"})
    where = f"git+file:///srv/kd.git@{COMMIT}#subdirectory=plugins/kd-report"
    assert pip_install("kd-report") == f'pip install "{where}"'


def test_everything_from_a_repository_names_what_nobody_else_finds(installed, monkeypatch):
    monkeypatch.setattr(sources, "_installed", lambda name: name != "kd-ofa")
    installed(direct=GIT)
    found = located(["kd-all"]).requirements
    assert [text.partition(" ")[0] for text in found] == ["kd-all", "kd-ofa"]
    assert all(text.endswith(f"#subdirectory=plugins/{text.partition(' ')[0]}") for text in found)


def test_what_a_package_needs_comes_from_the_same_repository(installed, monkeypatch):
    monkeypatch.setattr(sources, "packages", lambda: frozenset(("kd-report", "kd-compare")))
    monkeypatch.setattr(sources, "_installed", lambda name: False)
    installed(direct=GIT)
    found = located(["kd-compare"]).requirements
    assert [text.partition(" ")[0] for text in found] == ["kd-compare", "kd-report"]


def test_what_the_packages_need_is_known():
    found = {}
    for file in Path(__file__).parents[2].glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        needs = {normalised(Requirement(text).name) for text in project["dependencies"]}
        found[project["name"]] = tuple(sorted(name for name in needs if name.startswith("kd-")))
    found.pop(sources.EVERYTHING, None)
    assert {name: needs for name, needs in found.items() if needs} == sources.NEEDS


# -- extras ------------------------------------------------------------------------------------------------------

REQUIRES = (
    "torch>=2.12",
    'scikit-learn>=1.6; extra == "digits"',
    'old>=1; extra == "digits" and python_version < "3"',
    'kd-report>=0.1; extra == "all"',
)


@pytest.mark.parametrize("direct", [None, GIT])
def test_an_extra_is_what_it_consists_of(direct, installed):
    installed(direct=direct, requires=REQUIRES)
    assert pip_install("kdcore", extra="digits") == 'pip install "scikit-learn>=1.6"'


def test_an_extra_with_packages_of_kd(installed, wheels):
    installed(direct=wheel_of(wheels), requires=REQUIRES)
    assert pip_install("kdcore[all]") == f'pip install "kd-report>=0.1" --find-links "{wheels}"'


def test_an_extra_that_the_metadata_does_not_have(installed):
    installed(requires=REQUIRES)
    assert pip_install("kdcore", extra="new") == 'pip install "kdcore[new]"'


# -- packages of others ------------------------------------------------------------------------------------------


def test_others_are_named_as_they_are(installed, wheels):
    installed(direct=wheel_of(wheels))
    assert pip_install("einops>=0.8", "rich") == 'pip install "einops>=0.8" rich'
    assert pip_install("./kd-mine", "x @ https://example.org/x.whl").startswith("pip install ./kd-mine ")


def test_others_are_installed_again_from_where_they_were(installed, tmp_path):
    installed("kd-fox", {"url": tmp_path.as_uri(), "dir_info": {}})
    installed(
        "kd-owl", {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": COMMIT}, "subdirectory": "owl"}
    )
    installed("kd-bee", {"url": "https://example.org/kd_bee-1.0-py3-none-any.whl", "archive_info": {}})
    again = "pip install --force-reinstall --no-deps"
    assert pip_reinstall("kd-fox") == f"{again} {tmp_path}"
    assert pip_reinstall("kd-owl") == f'{again} "kd-owl @ git+{REPOSITORY}@{COMMIT}#subdirectory=owl"'
    assert pip_reinstall("kd-bee") == f'{again} "kd-bee @ https://example.org/kd_bee-1.0-py3-none-any.whl"'
    assert pip_upgrade("kd-bee") == "pip install --upgrade kd-bee"


@pytest.mark.parametrize("extras", ["", "[test]", "[ test , more]"])
def test_the_packages_of_kd_that_a_folder_needs(extras, installed, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_installed", lambda name: name != "kd_report")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "pyproject.toml").write_text(
        "[project]\ndependencies = ['kd-ofa>=0.1', 'rich']\n"
        "[project.optional-dependencies]\ntest = ['kd_report>=0.1', 'pytest']\n"
    )
    installed(direct={"url": tree.as_uri(), "dir_info": {"editable": True}})
    words = shlex.split(pip_editable(f"{mine}{extras}"))
    assert words == [
        "pip",
        "install",
        "-e",
        f"{mine}{extras}",
        *(["-e", f"{tree}/plugins/kd-report"] if extras else []),
    ]
    assert located([f"{mine}{extras}"]).requirements == (f"{mine}{extras}",)
    assert bool(located([f"{mine}{extras}"]).editable) == bool(extras)


@pytest.mark.parametrize(
    "project", ["", "[project", "[project]\ndependencies = 1\n", "[project]\ndependencies = ['?']\n"]
)
def test_a_folder_that_does_not_say_what_it_needs(project, tmp_path):
    (tmp_path / "pyproject.toml").write_text(project)
    assert located([str(tmp_path)]) == sources.Wanted((str(tmp_path),))


# -- damaged metadata --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "direct",
    [
        "{",
        "[]",
        "{}",
        '{"url": 1}',
        '{"url": "file:///x", "dir_info": []}',
        '{"url": "file:///x", "vcs_info": {"vcs": "git"}}',
        '{"url": "file:///x", "vcs_info": {"vcs": "hg", "commit_id": "1"}}',
    ],
)
def test_damaged_metadata_is_an_index(direct, installed):
    installed(direct=direct)
    assert direct_url("kdcore") is None
    assert pip_install("kd-report") == "pip install kd-report"
