"""Libraries that are not installed."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(("model", "library", "extra"), [
    ("transformers", "transformers", "transformers"),
    ("onnx", "onnxruntime", "onnx"),
])  # fmt: skip
def test_a_missing_library_is_a_problem_with_the_command_that_installs_it(
    monkeypatch, tmp_path, problem, model, library, extra
):
    monkeypatch.setitem(sys.modules, library, None)
    found = problem(model, path=str(tmp_path))
    assert found.where == "teacher.model"
    assert f"needs the library {library}" in found.message
    # from a repository, the command has what the extra requires
    assert f"kd-teachers[{extra}]" in found.hint or library in found.hint
    assert "pip install" in found.hint
