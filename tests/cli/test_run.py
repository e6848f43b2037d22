from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kdcore.cli import main
from kdcore.cli.run import run
from kdcore.run import run as api
from kdcore.run.result import RunResult


def test_what_a_plugin_prints_is_kept_off_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def printing(*_: Any, **__: Any) -> RunResult:
        print("a distiller says hello")
        return RunResult(Path("runs/one"), {"status": "finished", "images_per_second": float("inf")}, [])

    monkeypatch.setattr(api, "run", printing)
    run(Path("spec.json"), as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "directory": "runs/one",
        "status": "finished",
        "images_per_second": None,
    }
    assert shown.err == "a distiller says hello\n"


def test_what_a_library_writes_to_the_file_descriptor_is_kept_off_it_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def writing(*_: Any, **__: Any) -> RunResult:
        os.write(1, b"[Gloo] hello\n")
        return RunResult(Path("runs/one"), {"status": "finished"}, [])

    monkeypatch.setattr(api, "run", writing)
    with pytest.raises(SystemExit) as ended:
        main(["run", "spec.json", "--json"])
    assert not ended.value.code
    shown = capfd.readouterr()
    assert json.loads(shown.out)["status"] == "finished"
    assert shown.err == "[Gloo] hello\n"
