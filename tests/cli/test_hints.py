"""Every command that a message suggests, such as 'kd report runs/one', is one that kd understands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import kdcore
from kdcore.cli.group import load_command
from kdcore.plugins import get_plugins

CORE = Path(kdcore.__file__).parent
SOURCES = (CORE, *sorted((CORE.parent / "plugins").glob("*/kd_*")))
COMMAND = re.compile(r"'(kd [a-z][^'\n]*)'|`(kd [a-z][^`\n]*)`|: (kd (?:show|plugins|run) \S+)")
PLACEHOLDER = "x"


def texts(tree: ast.AST) -> Iterator[str]:
    """All string constants, and f-strings with a word for each value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values]
            yield "".join(map(str, parts))


def suggested() -> list[str]:
    found = set()
    for file in (file for source in SOURCES for file in source.rglob("*.py")):
        for text in texts(ast.parse(file.read_text("utf-8"))):
            found |= {next(filter(None, match.groups())) for match in COMMAND.finditer(text)}
    return sorted(command.rstrip(".,;:)") for command in found)


@pytest.fixture(scope="module")
def commands() -> list[str]:
    return suggested()


def test_there_are_suggestions(commands: list[str]):
    assert any(command.startswith("kd report x") for command in commands)
    assert len(commands) > 10


def test_each_is_understood(commands: list[str]):
    failed = {}
    for command in commands:
        try:
            understood(command)
        except Exception as error:  # of any kind: all are shown together
            failed[command] = error
    assert not failed


def understood(command: str) -> None:
    """Raises an error if the program does not know the command, an argument or an option."""
    words = shlex.split(command)[1:]
    name, arguments = words[0], words[1:]
    found = load_command(name, get_plugins())
    if hasattr(found, "commands") and arguments:
        found, arguments = found.commands[arguments[0]], arguments[1:]
    if arguments:  # a message may name a command alone
        found.make_context(name, list(arguments))
