"""The core names no algorithm: what is known about a distiller stands in its plugin.

All files of the core are searched for the name of every distiller of the packages here: strings, identifiers,
docstrings, comments, and the words of data files.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdcore import DistillerEntry
from kdcore.plugins import get_plugins

ROOT = Path(__file__).parents[1]
CORE = ROOT / "kdcore"
PACKAGES = {
    tomllib.loads(file.read_text())["project"]["name"] for file in (ROOT / "plugins").glob("*/pyproject.toml")
}
OTHERS = [item for item in get_plugins().all(DistillerEntry) if item.plugin.distribution in PACKAGES]
# names that are ordinary words of the core, in every place: they say nothing about the algorithm of that name
ORDINARY = {
    "average": "what an exponential moving average is",
    "compress": "what archives do",
    "cosine": "a schedule, and a similarity",
    "cwd": "the current working directory",
    "dense": "opposite of sparse",
    "nd": "the end of 2nd",
    "norm": "a normalisation layer",
    "pad": "a way to crop",
    "seed": "of random numbers",
}
NAMES = {item.entry.name for item in OTHERS} - ORDINARY.keys()
MODULES = {item.entry.target.partition(".")[0] for item in OTHERS}
# names that are words too: as a word of a text, or a part of an identifier, they mean something else
WORDS = {
    "at": "a preposition",
    "kd": "the program's own name",
    "dist": "the usual name of torch.distributed, and of the folder of built packages",
}
# the program's own name as a whole string: its command, its folder of caches, its tag on the hub
PROGRAM = {
    "cli/app.py",
    "cli/group.py",
    "data/cache.py",
    "models/student.py",
    "run/trackers.py",
}
GENERATED = {"plugins/known.json"}  # the index of names by package, which `docs/generate.py` writes
BINARY = {".png", ".woff2", ".ico"}


def files() -> Iterator[str]:
    for path in sorted(CORE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in BINARY:
            yield path.relative_to(CORE).as_posix()


def words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"\w+", text)}


def parts(identifier: str) -> set[str]:
    """`_without_ofa` and `OFALoss` have the part `ofa`."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", identifier)
    return {piece.lower() for piece in pieces} | {identifier.lower()}


def in_text(text: str) -> set[str]:
    """The names in a text; one that is a word too counts in quotes, or behind its plugin's name."""
    quoted = set(re.findall(r"""["'`]([\w-]+)["'`]|kd-\w+/(\w+)""", text.lower()))
    named = {name for pair in quoted for name in pair if name} & (WORDS.keys() - {"kd"})
    behind = {name for _, name in quoted if name}
    return (words(text) & ((NAMES - WORDS.keys()) | MODULES)) | ((named | behind) & NAMES)


def in_python(text: str, file: str) -> set[str]:
    found: set[str] = set()
    tree = ast.parse(text)
    modules = "torch.distributed" in text or "from torch import distributed" in text
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= in_text(node.value)
            if node.value in WORDS.keys() & NAMES and not (node.value == "kd" and file in PROGRAM):
                found.add(node.value)
        for identifier in identifiers(node):
            found |= parts(identifier) & ((NAMES - WORDS.keys()) | MODULES)
            if identifier.lower() == "dist" and not modules:
                found.add("dist")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found |= in_text(token.string)
    return found


def identifiers(node: ast.AST) -> Iterator[str]:
    for field in ("id", "name", "attr", "arg", "asname", "module"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield from value.split(".")


def found_in(text: str, file: str) -> set[str]:
    return in_python(text, file) if file.endswith((".py", ".pyi")) else in_text(text)


def test_the_names_are_those_of_the_packages():
    assert {"kd", "dkd", "fitnet", "at", "dist", "crd", "ofa"} <= NAMES
    assert "vanilla" not in NAMES  # the core's own baseline
    assert WORDS.keys() <= NAMES
    assert ORDINARY.keys() <= {item.entry.name for item in OTHERS}


@pytest.mark.parametrize("file", [file for file in files() if file not in GENERATED])
def test_a_file_of_the_core_names_no_algorithm(file):
    assert found_in((CORE / file).read_text("utf-8"), file) == set()


def test_exceptions_are_needed():
    assert set(files()) >= GENERATED
    for file in PROGRAM:
        assert '"kd"' in (CORE / file).read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('NAMES = ("x", "dkd")', "dkd"),
        ('x = "kd"', "kd"),
        ('x = "at"', "at"),
        ('x = {"distiller": "dist"}', "dist"),
        ('"""As `fitnet` does."""', "fitnet"),
        ('"""OFA\'s stages."""', "ofa"),
        ("x = 1  # as in CRD", "crd"),
        ("x = 1  # as 'at' does", "at"),
        ("def _without_ofa(): ...", "ofa"),
        ("class OFALoss: ...", "ofa"),
        ("def f(nkd): ...", "nkd"),
        ("x.rkd = 1", "rkd"),
        ("import kd_classic.plugin", "kd_classic"),
        ('x = "kd_classic.kd:KD"', "kd_classic"),
        ('x = "kd-classic/kd"', "kd"),
        ("from .loss import dist", "dist"),
    ],
)
def test_a_name_is_found_in_python(text, name):
    assert name in found_in(text, "x.py")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[distillers."kd-classic/dkd"]', "dkd"),
        ('[distillers."kd-classic/kd"]', "kd"),
        ('distiller = "at"', "at"),
        ('{"fitnet": 1}', "fitnet"),
        ("# NKD's values", "nkd"),
    ],
)
def test_a_name_is_found_in_data(text, name):
    assert name in found_in(text, "x.toml")


@pytest.mark.parametrize(
    "text",
    [
        '"""At the start, kd looks at `kd show` and the distance."""',
        "import torch.distributed as dist\ndist.barrier()",
        'x = "kd show"  # kd-classic is a package; spread, distiller, record',
        "def f(at, display, accord): ...",
    ],
)
def test_other_words_are_not_found(text):
    assert found_in(text, "x.py") == set()
