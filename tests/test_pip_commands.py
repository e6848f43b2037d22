"""No message names a command of pip by itself: `pip_install` and its sisters know the one that works."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"\bpip3?\b['\", -]+(un)?install\b")
FILES = sorted(
    path.relative_to(ROOT)
    for folder in (ROOT / "kdcore", *ROOT.glob("plugins/*/kd_*"), *ROOT.glob("examples/plugins/*/kd_*"))
    for path in folder.rglob("*.py")
)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of a program with their lines, without docstrings; an f-string is one text."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.List | ast.Tuple):
            words = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            yield node.lineno, " ".join(map(str, words))


def commands_in(source: str) -> list[str]:
    return [f"line {line}: {text}" for line, text in texts(ast.parse(source)) if COMMAND.search(text)]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_message_names_a_command_of_pip(file: Path):
    found = commands_in((ROOT / file).read_text("utf-8"))
    assert not found, "\n".join(["call pip_install or pip_editable of kdcore.plugin instead", *found])


@pytest.mark.parametrize(
    "source",
    [
        "f('pip install x')",
        "f(f'{a}: pip install {b}')",
        "run(['pip', 'install', 'x'])",
        "f('uv pip uninstall x')",
    ],
)
def test_such_commands_are_found(source: str):
    assert commands_in(source)


@pytest.mark.parametrize("source", ['"""`pip install x`."""', "# pip install x", "f('pip installs it')"])
def test_documentation_may_name_them(source: str):
    assert not commands_in(source)
