"""The README says what the code does, and its examples work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kd_ofa.options import OFAOptions
from kd_ofa.plugin import kd_distillers

from kdcore import RunSpec

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_formula_and_the_paper_are_what_is_declared():
    (entry,) = kd_distillers()
    (formula,) = _blocks("text")
    assert entry.formula.startswith(formula.strip())
    assert f"[{entry.paper.title}]({entry.paper.url})" in README


def test_the_table_of_options_is_what_there_is():
    said = re.findall(r"^\| `ofa` \| `(\w+)` \| ([^|]+) \|", README, flags=re.MULTILINE)
    assert said == [(name, json.dumps(default)) for name, default in OFAOptions().model_dump().items()]


def test_the_spec_is_valid():
    (block,) = _blocks("json")
    spec = json.loads(block)
    RunSpec.model_validate(spec)
    assert spec["distiller"].pop("name") == kd_distillers()[0].name
    assert OFAOptions.model_validate(spec["distiller"])


def test_the_example_in_python_runs():
    (block,) = _blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["student_logits"].grad.isfinite().all()
    assert names["student_logits"].grad.abs().sum() > 0
