"""docs/website: what the site is made of, without Zensical; `.ci/run` builds it and checks its links."""

from __future__ import annotations

import json
import tomllib

import pytest


@pytest.fixture(scope="module")
def website(docs_script):
    return docs_script("website", "check", "collect", "formulas", "navigation", "notebooks")


@pytest.fixture(scope="module")
def pages(website, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    website.collect.collect(root, folder)
    return folder


def settings(root):
    return tomllib.loads((root / "docs" / "zensical.toml").read_text("utf-8"))


def test_every_page_is_in_the_navigation(website, root, pages):
    text = website.navigation.configuration(settings(root), pages, address="https://example.org/kd")
    project = tomllib.loads(text)["project"]
    assert project["repo_url"] == "https://example.org/kd"
    assert "methods/dkd.md" in str(project["nav"])


def test_a_page_that_is_not_in_the_navigation_is_named(website, root, pages):
    new = pages / "new.md"
    new.write_text("# New\n")
    with pytest.raises(
        website.navigation.NavigationError, match=r"not in `nav` of docs/zensical.toml: new.md"
    ):
        website.navigation.configuration(settings(root), pages, address=None)
    new.unlink()
    changed = settings(root)
    changed["project"]["nav"].append({"Gone": "gone.md"})
    with pytest.raises(website.navigation.NavigationError, match=r"not there: gone.md"):
        website.navigation.configuration(changed, pages, address=None)


def test_no_link_leads_out_of_the_site(website, pages):
    for page in pages.rglob("*.md"):
        for part in website.collect.FENCE.split(page.read_text("utf-8"))[::2]:
            for match in website.collect.LINK.finditer(part):
                assert (page.parent / match[2]).is_file(), (page, match[2])


@pytest.fixture
def repository(tmp_path):
    for name, text in {
        "README.md": "[a](docs/a.md#x)",
        "CHANGELOG.md": "",
        "docs/a.md": "[r](../README.md#top) [p](../examples/p.py) [f](../examples/f) [n](n.ipynb) [w](https://x.org)\n\n"
        "```\n[r](../README.md)\n```\n\n| `a \\| b` |\n|---|\n",
        "docs/n.ipynb": json.dumps({"cells": []}),
        "docs/tool.py": "",
        "docs/data.json": "{}",
        "examples/p.py": "print(1)\n",
        "examples/f/spec.json": "{}",
        "examples/f/README": "",
        ".hidden/x.yml": "a: 1",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_files_that_pages_link_to_become_pages(website, repository, tmp_path):
    pages = tmp_path / "out"
    website.collect.collect(repository, pages)
    found = {path.relative_to(pages).as_posix() for path in pages.rglob("*") if path.is_file()}
    elsewhere = {
        "README.md",
        "CHANGELOG.md",
        "examples/p.py.md",
        "examples/f/README.md",
        "examples/f/spec.json.md",
    }
    assert found == {"a.md", "n.md", "data.json"} | {f"repository/{name}" for name in elsewhere}
    text = (pages / "a.md").read_text()
    assert (
        "[r](repository/README.md#top) [p](repository/examples/p.py.md) [f](repository/examples/f/README.md)"
        in text
    )
    assert "[n](n.md) [w](https://x.org)" in text
    assert "```\n[r](../README.md)\n```" in text
    assert "| `a | b` |" in text
    assert "[a](../a.md#x)" in (pages / "repository/README.md").read_text()
    assert "```python\nprint(1)\n```" in (pages / "repository/examples/p.py.md").read_text()
    assert "- [spec.json](spec.json.md)" in (pages / "repository/examples/f/README.md").read_text()


def test_a_hidden_file_has_a_page_that_is_not_hidden(website, repository):
    place = website.collect.place(repository / ".hidden" / "x.yml", repository)
    assert place.as_posix() == "repository/hidden/x.yml.md"


@pytest.mark.parametrize(
    ("output", "html"),
    [
        ({"output_type": "stream", "text": ["a < b\n", "c\n"]}, '<pre class="output">a &lt; b&#10;c</pre>'),
        ({"output_type": "execute_result", "data": {"text/plain": "5"}}, '<pre class="output">5</pre>'),
        (
            {
                "output_type": "display_data",
                "data": {"text/html": ["<table>\n", "\n  <pre>a\n\nb</pre>"], "text/plain": "x"},
            },
            '<div class="output"><table> <pre>a&#10;&#10;b</pre></div>',
        ),
        (
            {"output_type": "display_data", "data": {"image/png": "aGk=\n"}},
            '<img alt="output of the cell" class="output" src="data:image/png;base64,aGk=">',
        ),
    ],
)
def test_a_notebook_is_a_page_with_its_outputs(output, html, website):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "1 + 1", "outputs": [output]},
    ]
    page = website.notebooks.notebook_page(json.dumps({"cells": cells}))
    assert page == f"# Title\ntext\n\n```python\n1 + 1\n```\n\n{html}\n"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            '<a href="b.html#here">b</a><a href="#top">t</a><p id="top">- not</p>',
            "a list without an empty line",
        ),
        ('<a href="b.html#there">b</a>', "no heading for the link to 'b.html#there'"),
        ('<a href="c.html">c</a>', "the link to 'c.html' leads to no file"),
        ('<img src="c.png">', "the link to 'c.png' leads to no file"),
        ('<a href="../b.html">b</a>', "the link to '../b.html' leads to no file"),
        ("<p>[text](<em>b</em>.html)</p>", "a link that is not one"),
        ("<p>| a | b |</p>", "a table that is not one"),
        ('<a href="https://example.org/x">x</a><p><code>- [x](y)</code></p>', None),
        ('<a href="sub/">x</a>', None),
    ],
)
def test_problems_of_a_built_site(body, problem, website, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("<h1>Sub</h1>")
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1>')
    (tmp_path / "a.html").write_text(body)
    found = website.check.problems(tmp_path)
    assert [line.startswith("a.html: ") and problem in line for line in found] == ([True] if problem else [])


def test_formulas_need_no_script(website, tmp_path):
    pytest.importorskip("latex2mathml", reason="the group docs")
    page = tmp_path / "a.html"
    page.write_text(
        '<p><span class="arithmatex">\\(\\big\\|a_i\\|\\)</span></p><div class="arithmatex">\n\\[\nx &lt; 1\n\\]</div>'
    )
    website.formulas.render_formulas(tmp_path)
    text = page.read_text("utf-8")
    assert text.count("<math") == 2
    assert "‖" in text
    assert "\\" not in text
    page.write_text('<span class="arithmatex">\\(\\nosuch{a}\\)</span>')
    with pytest.raises(website.formulas.FormulaError, match=r"a.html: latex2mathml does not know .*nosuch"):
        website.formulas.render_formulas(tmp_path)
