"""The pages of methods: what people write is complete, and the specs to copy are right."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest

from kdcore import DistillerEntry
from kdcore.commands.show.show import example
from kdcore.entries import NEEDS
from kdcore.plugins import get_plugins

ITEMS = get_plugins().all(DistillerEntry)
TEXT = """\
## Idea

One.

## Formula

$$
L = 0
$$

## Published results

None.

## Paper and code

The same.

## Related methods

- `kd`: another one
"""


@pytest.fixture(scope="module")
def method_pages(root):
    spec = importlib.util.spec_from_file_location("method_pages", root / "docs" / "method_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(root):
    return {path.stem: path.read_text(encoding="utf-8") for path in (root / "docs" / "methods").glob("*.md")}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.entry.name)
def test_its_text_is_complete(item, method_pages):
    text = method_pages.source(item).read_text(encoding="utf-8")
    assert method_pages.faults(text, [one.entry.name for one in ITEMS]) == []
    assert item.entry.name not in method_pages._RELATED.findall(text)
    assert set(item.entry.needs) <= set(NEEDS)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.entry.name)
def test_its_spec_is_the_one_of_kd_show(item, pages):
    """That one is checked in tests/test_first_party.py."""
    (block,) = re.findall(r"^```json\n(.*?)^```$", pages[item.entry.name], re.MULTILINE | re.DOTALL)
    options = get_plugins().load_options(item, "")().model_dump(mode="json")
    wanted = {"name": item.entry.name, **example(item.entry, options, item.entry.name)}
    assert json.loads(block) == json.loads(json.dumps(wanted))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "## Formula",
            "## Formulas",
            "its headings are Idea, Formulas, Published results, .* must be Idea, Formula,",
        ),
        ("## Idea\n\nOne.\n", "", "its headings are Formula, Published"),
        ("One.\n", "", "there is nothing under '## Idea'"),
        ("$$\nL = 0\n$$", "L = 0", "has no .* formula"),
        ("- `kd`: another one", "None.", "has no line like"),
        ("`kd`", "`fancy`", "names 'fancy', but no distiller has this name"),
        ("One.", "See [it](dkd.md).", "the link 'dkd.md' is not an https address"),
        ("## Idea", "# Title\n\n## Idea", "text before its first heading"),
    ],
)
def test_what_is_missing_is_found(old, new, fault, method_pages):
    assert method_pages.faults(TEXT, ["kd"]) == []
    assert old in TEXT
    (found, *_) = method_pages.faults(TEXT.replace(old, new), ["kd"])
    assert re.search(fault, found)


def test_a_method_without_a_page_is_an_error(method_pages, monkeypatch, tmp_path):
    monkeypatch.setattr(method_pages, "ROOT", tmp_path)
    with pytest.raises(method_pages.PageErrors) as caught:
        method_pages.pages(get_plugins(), None, None)
    assert "plugins/kd-classic/pages/kd.md is missing: every distiller has a page" in str(caught.value)


def test_the_overview_lists_all(pages):
    for item in ITEMS:
        assert f"[`{item.entry.name}`]({item.entry.name}.md)" in pages["README"]
    assert all(f"| `{need}` | " in pages["README"] for need in NEEDS)


def test_commands_of_the_guide_choose_by_needs_that_exist(pages):
    flags = re.findall(r"--(?:needs|without) ([\w-]+)", pages["README"])
    assert flags
    assert set(flags) <= set(NEEDS)
