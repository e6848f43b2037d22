"""The README says what is declared, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kd_report.plugin import kd_report_sections

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_table_of_sections_is_what_is_declared():
    said = re.findall(r"^\| `(\w+)` \| (\d+) \|$", README, flags=re.MULTILINE)
    assert said == [(entry.name, str(entry.order)) for entry in kd_report_sections()]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_examples_run(block: str, capsys: pytest.CaptureFixture[str]):
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out
