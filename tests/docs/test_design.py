"""docs/design.md names files that exist, and the floors that the import linter checks."""

from __future__ import annotations

import re
import tomllib

import pytest

from kdcore.plugins.roles import ROLES

FILE = re.compile(r"`((?:kdcore|plugins|examples)/[\w./-]*)`")
STAGE = re.compile(r"^\d+\. (.*(?:\n   .*)*)", re.MULTILINE)
FLOORS = re.compile(r"^```text\n(plugin .*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def design(root):
    return (root / "docs" / "design.md").read_text(encoding="utf-8")


def floors_of(design):
    """The list of floors, the top floor first; floors that stand next to each other are one set."""
    lines = [line for line in FLOORS.search(design)[1].splitlines() if line[0] != " "]
    return [set(re.match(r"\w+(?: \| \w+)*", line)[0].split(" | ")) for line in lines]


def contract(root):
    """The same from the contract; a floor in parentheses does not have to exist."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = [one["layers"] for one in settings["contracts"] if one["type"] == "layers"]
    named = [{name.strip() for name in re.split(r"[|:]", layer)} for layer in layers]
    there = {path.stem for path in (root / "kdcore").iterdir()}
    return [
        {name.strip("()") for name in row if name[0] != "(" or name.strip("()") in there} for row in named
    ]


def missing_files(design, root):
    return [name for name in FILE.findall(design) if not (root / name).exists()]


def test_every_file_that_it_names_exists(design, root):
    assert len(FILE.findall(design)) > 40
    assert missing_files(design, root) == []


def test_its_floors_are_those_of_the_contract(design, root):
    assert floors_of(design) == [row for row in contract(root) if row]


def test_every_file_and_folder_of_the_core_is_on_a_floor(design, root):
    listed = {name for row in floors_of(design) for name in row}
    paths = [path for path in (root / "kdcore").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    assert listed == {path.stem for path in paths} - {"__init__", "__main__"}


def test_every_plugin_is_in_the_contracts(root):
    linter = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    plugins = {path.parent.name for path in root.glob("plugins/*/kd_*/__init__.py")}
    assert set(linter["root_packages"]) == {"kdcore", *plugins}
    fields = ("source_modules", "forbidden_modules", "modules")
    lists = [set(one[field]) for one in linter["contracts"] for field in fields if field in one]
    assert sum(names == plugins for names in lists) == 3


def test_every_role_and_every_package_has_its_row(design, root):
    part = design.partition("## Roles")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| `(kd_\w+)` \| `(\w+)` \|", part, re.MULTILINE)
    assert rows == [(role.name, role.hook, role.entry.__name__) for role in ROLES.values()]
    part = design.partition("## The packages")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `plugins/([\w-]+)/` \|", part, re.MULTILINE))
    assert named == {path.parent.name for path in root.glob("plugins/*/pyproject.toml")}


def test_every_stage_of_a_run_is_one_file(design):
    way = design.partition("## The way of one run")[2].partition("\n## ")[0]
    stages = STAGE.findall(way)
    assert len(stages) > 20
    for stage in stages:
        assert re.match(r"`kdcore/[\w/]+\.py`: ", stage), stage


# -- the checks themselves ---------------------------------------------------------------------------------------


def test_a_file_that_is_gone_is_noticed(root):
    assert missing_files("`kdcore/run/loop.py`, `kdcore/run/gone.py`, `plugins/kd-gone/`", root) == [
        "kdcore/run/gone.py",
        "plugins/kd-gone/",
    ]


def test_floors_in_another_order_are_noticed(design, root):
    swapped = (
        design.replace("\nerrors  ", "\nnew  ")
        .replace("\nrundir  ", "\nerrors  ")
        .replace("\nnew  ", "\nrundir  ")
    )
    assert floors_of(swapped) != floors_of(design)
