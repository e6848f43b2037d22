"""Links between the pages lead somewhere, headings included."""

from __future__ import annotations

import re

import pytest

LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page):
    text = page.read_text(encoding="utf-8")
    for path, anchor in LINK.findall(CODE.sub("", text)):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield f"{path}#{anchor}" if anchor else path


def test_links_of_the_pages(root):
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("plugins/*/*.md")]
    assert {str(page.relative_to(root)): found for page in pages if (found := list(dead_links(page)))} == {}


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("[a](other.md#two-words)", []),
        ("[a](#here)", []),
        ("[a](https://example.org/x)", []),
        ("[a](missing.md)", ["missing.md"]),
        ("[a](other.md#three)", ["other.md#three"]),
        ("```\n[a](missing.md)\n```", []),
    ],
)
def test_a_dead_link_is_noticed(link, dead, tmp_path):
    (tmp_path / "other.md").write_text("# Two words\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{link}\n")
    assert list(dead_links(page)) == dead
