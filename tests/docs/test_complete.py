"""The pages name everything that a plugin's author may rely on: hooks, protocols, records, `import kdcore`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from importlib import import_module

import pytest

import kdcore
import kdcore.inspect
import kdcore.plugin
from kdcore import hookspecs
from kdcore.hookspecs import hookimpl
from kdcore.plugins.registry import Registry
from kdcore.plugins.roles import ROLES
from kdcore.rundir.directory import RunDirectory
from kdcore.spec.difference import neutral_fields

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
        "PreparesFromTeacher",
        "ChangesStudent",
        "DistillerEntry",
        "Paper",
        "Suits",
    ),
    "adapter": ("FeatureAdapter", "GivesMaps", "GivesTail", "PreparesModel", "AdapterEntry"),
    "data-and-models": ("DatasetEntry", "ModelDescription", "ModelEntry"),
    "transform": ("TransformEntry", "ChecksTraining", "Transform", "TransformSetup", "Transformed"),
    "commands-and-recipes": ("CommandEntry", "RecipeEntry"),
    "exporter": ("ExporterEntry", "ExportedFiles"),
    "metric": ("MetricEntry",),
    "report-section": ("SectionEntry", "ReportSection"),
    "launcher": ("LauncherEntry", "Launcher", "LaunchSetup", "LaunchJob", "JobEnd"),
    "hooks": ("RunDirectory", "StopTraining"),
}
NOT_FOR_HOOKS = {
    "steps_done",
    "step_done",
    "begin",
    "clear",
    "locked",
    "write_classes",
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


def table_lines(text):
    """The rows of a part's table, without its head."""
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(
    ("where", "name"), [(page, name) for page, names in TABLES.items() for name in names]
)
def test_every_member_is_in_its_table_and_no_other(where, name, pages):
    cls = RunDirectory if name == "RunDirectory" else getattr(kdcore, name)
    wanted = members(cls) - (NOT_FOR_HOOKS if cls is RunDirectory else set())
    assert rows(pages[where], name) == wanted


NO_TABLE = {  # a function, constants, base classes; the spec's page describes the schedule
    *("hookimpl", "PLUGIN_API", "Stage", "TimmAdapter"),
    *("DistillerOptions", "Options", "Schedule", "SpecFile", "SpecFolder"),
}


def test_all_protocols_and_records_have_a_table():
    described = {name for names in TABLES.values() for name in names}
    for_authors = {name for names in kdcore.PUBLIC["authors of plugins"].values() for name in names}
    assert for_authors - NO_TABLE == described - {"RunDirectory"}


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


@pytest.mark.parametrize("role", ROLES.values(), ids=lambda role: role.hook)
def test_every_role_has_a_part_a_page_a_table_an_example_and_what_happens_if_it_breaks(
    role, pages, blocks_of
):
    """The table of roles says what has to be there: a new role fails here until it is described."""
    parts = re.split(r"^### ", pages["hooks"], flags=re.MULTILINE)
    (part,) = [text for text in parts if text.startswith(f"{role.hook}\n")]
    record = role.entry.__name__
    assert f"`{role.hook}() -> list[{record}]`" in part
    (page,) = set(re.findall(r"\]\(([\w-]+)\.md", part))
    assert rows(pages[page], record) == members(role.entry)
    assert f"({page}.md" in pages["hooks"]
    examples = [
        block
        for block in blocks_of(f"docs/plugins/{page}.md")
        # a file of a plugin that test_plugin_pages.py installs
        if block.file is not None and block.file.endswith("/plugin.py") and f"def {role.hook}(" in block.text
    ]
    assert examples
    (breaks,) = [
        text for text in parts if text.startswith("What kd does if something that you declare breaks")
    ]
    named = re.findall(r"`([^`]+)`", " ".join(line.split("|")[1] for line in table_lines(breaks)))
    assert role.name in named


def test_every_page_for_authors_is_in_the_table_of_contents(pages, root):
    contents = (root / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert {page for page in pages if f"(plugins/{page}.md)" not in contents} == set()


@pytest.mark.parametrize(
    "module", [kdcore, kdcore.plugin, kdcore.inspect], ids=lambda module: module.__name__
)
def test_everything_that_can_be_imported_is_promised(module, pages, root):
    assert "(../reference/api.md)" in pages["versions"]
    page = (root / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    groups, *others = page.split("\n## For plugins: ")
    (part,) = [groups] if module is kdcore else [text for text in others if text.startswith(module.__name__)]
    promised = re.findall(r"^\| `(\w+)(?:\(\))?` \|", part, re.MULTILINE)
    assert sorted(promised) == sorted(module.__all__)
    assert re.findall(r"\| *\|$", part, re.MULTILINE) == []  # each has its first sentence


def test_the_functions_of_packages_are_there(root):
    page = (root / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for package in ("kd_compare", "kd_dev", "kd_export", "kd_init", "kd_report"):
        named = re.findall(rf"^\| `{package}\.(\w+)(?:\(\))?` \| \w", page, re.MULTILINE)
        assert sorted(named) == sorted(import_module(package).__all__)


def test_every_kind_of_distiller_is_there(pages):
    from kdcore.entries import KINDS

    (row,) = [line for line in pages["distiller"].splitlines() if line.startswith("| `kind` |")]
    assert set(re.findall(r"`(\w+)`", row)) - {"kind"} == set(KINDS)


# -- the checks themselves ---------------------------------------------------------------------------------------


def test_what_is_missing_is_noticed():
    page = (
        "| `Batch` | |\n|---|---|\n| `images` | a |\n| `target`, `index`, `labelled` | b |\n\n| `other` | |\n"
    )
    assert rows(page, "Batch") == members(kdcore.Batch)
    assert rows(page.replace("`index`, ", ""), "Batch") < members(kdcore.Batch)
    with pytest.raises(AssertionError, match="no table of Setup"):
        rows(page, "Setup")
    assert members(kdcore.ModelInfo) >= {"name", "stages", "stage", "embedding_dim", "classifier"}
    assert members(kdcore.FeatureAdapter) == {"stages", "forward"}


def test_hooks_are_those_that_are_registered():
    assert set(Registry()._specified) == set(HOOKS)
    assert hookimpl is kdcore.hookimpl


def test_what_may_change_when_a_run_is_resumed(root):
    text = (root / "docs" / "trust.md").read_text("utf-8")
    (named,) = re.findall(r"\n\n([^\n]+\n[^\n]*)may change when you resume", text)
    # another `name` is another run directory
    assert set(re.findall(r"`([^`]+)`", named)) == neutral_fields() - {"name"}
