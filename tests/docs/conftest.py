"""The code blocks of README.md, docs/*.md and docs/plugins/*.md.

An HTML comment in front of a block says more of it: `<!-- file: NAME -->` is the file that it is, which the page's
other blocks find; `<!-- not run: REASON -->` leaves it out; `<!-- needs: MODULE -->` leaves it out where
that is missing.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs" / "methods" / "dot.md",
    ROOT / "docs" / "methods" / "schemes.md",
    *sorted((ROOT / "docs" / "plugins").glob("*.md")),
]
BLOCK = re.compile(
    r"(?P<comments>(?:^<!--[^>]*-->\n\s*)*)^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"<!-- (file|not run|needs): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A code block, where it begins, and what its comments say."""

    page: str
    line: int
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    needs: str | None = None

    @property
    def runs(self):
        """Whether a program runs, here."""
        return self.not_run is None and (self.needs is None or find_spec(self.needs) is not None)

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks_in(page: str, text: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(text):
        said = dict(COMMENT.findall(match["comments"]))
        line = text.count("\n", 0, match.start("text")) + 1
        indent = re.compile(f"^{match['indent']}", re.MULTILINE)
        code = indent.sub("", match["text"])
        found.append(
            Block(
                page, line, match["language"], code, said.get("file"), said.get("not run"), said.get("needs")
            )
        )
    return found


BLOCKS = [
    block
    for path in PAGES
    for block in blocks_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
]


def pytest_generate_tests(metafunc):
    """A test of one block has an argument named after the kind of block."""
    kinds = {"data_block": ("json", "toml", "yaml"), "shell_block": ("console", "bash", "sh", "shell")}
    for argument, languages in kinds.items():
        if argument in metafunc.fixturenames:
            wanted = [block for block in BLOCKS if block.language in languages and block.not_run is None]
            metafunc.parametrize(argument, wanted, ids=str)
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", sorted({block.page for block in BLOCKS}))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def docs_script():
    """Imports a module or package in docs, with those of its modules that are named, as its script does."""

    def load(name: str, *parts: str) -> ModuleType:
        sys.path.insert(0, str(ROOT / "docs"))
        try:
            for part in parts:
                import_module(f"{name}.{part}")
            return import_module(name)
        finally:
            sys.path.pop(0)

    return load


@pytest.fixture(scope="session")
def parse_blocks():
    return blocks_in


@pytest.fixture(scope="session")
def blocks_of():
    """The blocks of one page, such as `docs/spec.md`."""
    return lambda page: [block for block in BLOCKS if block.page == page]


@pytest.fixture
def page_folder(tmp_path, blocks_of):
    """Makes a folder that holds the files of a page, without those that are not run."""

    def make(page):
        for block in blocks_of(page):
            if block.file is not None and block.not_run is None:
                file = tmp_path / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
        return tmp_path

    return make
