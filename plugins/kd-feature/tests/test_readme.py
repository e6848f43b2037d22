"""The README says what the code does, and its examples work."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from kd_feature.plugin import kd_distillers

from kdcore import RunSpec

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ENTRIES = {entry.name: entry for entry in kd_distillers()}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _options(name: str) -> Any:
    module, _, attribute = ENTRIES[name].options.partition(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_table_of_methods_is_what_is_declared(entry):
    paper = f"[{entry.paper.title}]({entry.paper.url}) ({entry.paper.year})"
    formula = entry.formula.replace("|", r"\|")
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{entry.name}` | `{formula}` | ")]
    assert row.endswith(f" | {paper} |")


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_table_of_methods_says_what_is_read(entry, make_setup):
    module, _, attribute = entry.target.partition(":")
    needs = getattr(import_module(module), attribute)(_options(entry.name)(), make_setup()).requires
    reads = {(): "embeddings", (2,): "map of stage 2", (4,): "map of stage 4"}.get(
        needs.student_stages, "maps of stages 1 to 4"
    )
    assert needs.student_embedding == (reads == "embeddings")
    assert f"` | {reads} | [{entry.paper.title}]" in README


def test_the_table_of_options_is_what_there_is():
    said = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|`]+) \|", README, flags=re.MULTILINE)
    true = [
        (name, option, json.dumps(default))
        for name in ENTRIES
        for option, default in _options(name)().model_dump().items()
    ]
    assert said == true


def test_the_specs_are_valid():
    whole, others = (json.loads(block) for block in _blocks("json"))
    RunSpec.model_validate(whole)
    assert {other["name"] for other in others} == set(ENTRIES)
    for distiller in (whole["distiller"], *others):
        RunSpec.model_validate({**whole, "distiller": distiller})
        name = distiller.pop("name")
        assert _options(name).model_validate(distiller)


@pytest.mark.parametrize("block", _blocks("python"), ids=["functions", "crd"])
def test_the_examples_in_python_run(block):
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["loss"].isfinite()
    trained = names.get("student_map", getattr(names.get("student_head"), "weight", None))
    assert trained.grad.isfinite().all()
