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


def test_the_specs_are_valid():
    whole, others = (json.loads(block) for block in _blocks("json"))
    RunSpec.model_validate(whole)
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
