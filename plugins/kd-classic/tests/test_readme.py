"""The README says what the code does, and its examples work."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from kd_classic.plugin import kd_distillers

from kdcore import RunSpec

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _options(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def test_the_spec_is_valid():
    (block,) = _blocks("json")
    spec = json.loads(block)
    RunSpec.model_validate(spec)
    name = spec["distiller"].pop("name")
    (entry,) = [entry for entry in kd_distillers() if entry.name == name]
    assert _options(entry.options).model_validate(spec["distiller"])


def test_the_example_in_python_runs():
    (block,) = _blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["student_logits"].grad.isfinite().all()
