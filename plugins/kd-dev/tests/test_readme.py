"""The README says what there is, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kd_dev.kinds import PLUGIN_KINDS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_table_of_kinds_is_complete():
    assert re.findall(r"^\| `([\w-]+)` \|", README, flags=re.MULTILINE)[1:] == list(PLUGIN_KINDS)


@pytest.mark.parametrize("block", BLOCKS)
def test_its_examples_run(block: str):
    exec(compile(block, "README.md", "exec"), {})
