from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdcore import ExportedFiles, ReportSection


def test_a_section_takes_any_sequence_of_html():
    section = ReportSection("per-class", "Per class", figures=["<svg></svg>", "<table></table>"])  # type: ignore[arg-type]
    assert section.figures == ("<svg></svg>", "<table></table>")
    assert section == ReportSection("per-class", "Per class", figures=("<svg></svg>", "<table></table>"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "Per class"}, "id is 'Per class'; it must be lower-case letters and digits"),
        ({"id": 3}, "id must be text, not 3"),
        ({"title": " "}, "title must not be empty"),
        ({"text": None}, "text must be text, not None"),
        ({"figures": "<svg></svg>"}, "figures must be a sequence of HTML texts, not '<svg></svg>'"),
        ({"figures": 3}, "figures must be a sequence of HTML texts, not 3"),
        ({"figures": [b"<svg>"]}, "figures must be HTML texts, not bytes"),
    ],
)
def test_a_wrong_field_of_a_section(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ReportSection(**{"id": "mine", "title": "Mine", **fields})


def test_exported_files_take_any_sequence():
    files = ExportedFiles(files=iter(["a.npz", Path("b.json")]), needs=["numpy"])  # type: ignore[arg-type]
    assert files.files == ("a.npz", Path("b.json"))
    assert files.needs == ("numpy",)
    assert (files.load, files.exact, files.about) == ("", True, {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"files": "a.npz"}, "files must be a sequence of paths, not 'a.npz'"),
        ({"files": {"a.npz": 1}}, "files must be a sequence of paths"),
        ({"files": ["a.npz", 3]}, "files has 3; it must be a sequence of paths"),
        ({"files": []}, "files must have at least one path"),
        ({"imports": "import numpy"}, "imports must be a sequence of lines of Python"),
        ({"needs": [None]}, "needs has None; it must be a sequence of names of distributions"),
        ({"warnings": 3}, "warnings must be a sequence of texts, not 3"),
        ({"load": print}, "load must be Python as text, not <built-in"),
        ({"exact": 1}, "exact must be True or False, not 1"),
        ({"about": "x"}, "about must be a mapping, not 'x'"),
    ],
)
def test_a_wrong_field_of_exported_files(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ExportedFiles(**{"files": ["a.npz"], **fields})
