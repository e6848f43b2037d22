"""The pages name everything that a plugin's author may rely on: hooks, protocols, records, `import kdcore`."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import kdcore
from kdcore import hookspecs
from kdcore.hookspecs import hookimpl
from kdcore.plugins.registry import Registry
from kdcore.rundir.directory import RunDirectory

HOOKS = [name for name in vars(hookspecs) if name.startswith("kd_")]
# where the fields of each are in a table; a table's first heading is the name
TABLES = {
    "distiller": (
        "Requires",
        "Setup",
        "ModelInfo",
        "StageInfo",
        "ModelOutput",
        "FeatureMap",
        "Batch",
        "Progress",
        "Distiller",
        "DistillerEntry",
        "Paper",
    ),
    "adapter": ("FeatureAdapter", "GivesMaps", "PreparesModel", "AdapterEntry"),
    "data-and-models": ("DatasetEntry", "ModelEntry"),
    "exporter": ("ExporterEntry", "ExportedFiles"),
    "hooks": ("ReportSection", "RunDirectory"),
}
NOT_FOR_HOOKS = {
    "steps_done",
    "step_done",
    "begin",
    "clear",
    "locked",
    "write_metrics",
    "write_summary",
}  # of RunDirectory: what a run does


@pytest.fixture(scope="module")
def pages(root):
    return {path.stem: path.read_text(encoding="utf-8") for path in (root / "docs" / "plugins").glob("*.md")}


def members(cls):
    """The public names of a dataclass, protocol or class."""
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls)}
    own = {name for name in vars(cls) if not name.startswith("_")}
    told = re.findall(r"^ +(\w+): ", inspect.getdoc(cls) or "", re.MULTILINE)  # its docstring's attributes
    return own | set(inspect.get_annotations(cls)) | set(told)


def rows(page, name):
    """The names in the first column of the table that is headed by `name`."""
    found = re.search(rf"^\| `{name}` \|.*\n\|---\|---\|\n((?:\|.*\n)*)", page, re.MULTILINE)
    assert found, f"there is no table of {name}"
    firsts = [line.split("|")[1] for line in found[1].splitlines()]
    return {text.removesuffix("()") for first in firsts for text in re.findall(r"`([^`]+)`", first)}


@pytest.mark.parametrize(
    ("where", "name"), [(page, name) for page, names in TABLES.items() for name in names]
)
def test_every_member_is_in_its_table_and_no_other(where, name, pages):
    cls = RunDirectory if name == "RunDirectory" else getattr(kdcore, name)
    wanted = members(cls) - (NOT_FOR_HOOKS if cls is RunDirectory else set())
    assert rows(pages[where], name) == wanted


def test_all_protocols_and_records_have_a_table():
    described = {name for names in TABLES.values() for name in names}
    own = {
        name
        for name in kdcore.__all__
        if getattr(getattr(kdcore, name), "__module__", "") in ("kdcore.protocols", "kdcore.entries")
    }
    assert described >= own


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_there_with_its_arguments_and_an_example(name, pages, blocks_of):
    page = pages["hooks"]
    arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
    assert f"`{name}({arguments})" in page
    code = [block for block in blocks_of("docs/plugins/hooks.md") if block.language == "python"]
    assert [block for block in code if f"def {name}(" in block.text and block.not_run is None]


def test_no_hook_is_there_that_does_not_exist(pages):
    assert set(re.findall(r"\bkd_(?:run|epoch)_\w+|### (kd_\w+)", pages["hooks"])) - {""} <= set(HOOKS)
    assert set(re.findall(r"def (kd_\w+)\(", pages["hooks"])) == set(HOOKS)


def test_everything_that_can_be_imported_is_promised(pages, root):
    assert "(../reference/api.md)" in pages["versions"]
    page = (root / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    promised = set(re.findall(r"^\| `(\w+)(?:\(\))?` \|", page, re.MULTILINE))
    assert promised == set(kdcore.__all__)


def test_every_kind_of_distiller_is_there(pages):
    from kdcore.entries import KINDS

    (row,) = [line for line in pages["distiller"].splitlines() if line.startswith("| `kind` |")]
    assert set(re.findall(r"`(\w+)`", row)) - {"kind"} == set(KINDS)


# -- the checks themselves ---------------------------------------------------------------------------------------


def test_what_is_missing_is_noticed():
    page = "| `Batch` | |\n|---|---|\n| `images` | a |\n| `target`, `index` | b |\n\n| `other` | |\n"
    assert rows(page, "Batch") == members(kdcore.Batch)
    assert rows(page.replace("`index`", ""), "Batch") < members(kdcore.Batch)
    with pytest.raises(AssertionError, match="no table of Setup"):
        rows(page, "Setup")
    assert members(kdcore.ModelInfo) >= {"name", "stages", "stage", "embedding_dim", "classifier"}
    assert members(kdcore.FeatureAdapter) == {"stages", "forward"}


def test_hooks_are_those_that_are_registered():
    assert set(Registry()._specified) == set(HOOKS)
    assert hookimpl is kdcore.hookimpl
