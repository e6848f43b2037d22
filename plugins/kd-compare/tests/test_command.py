"""The flags of `kd compare`; the comparison itself is played."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from kd_compare import comparison
from kd_compare.command import compare
from typer.testing import CliRunner


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, make_result):
    """Calls the command; returns its output and what the function was given."""
    given: dict[str, Any] = {}
    app = typer.Typer()
    app.command()(compare)

    def run(*arguments: str, fails: bool = False):
        result = make_result({"vanilla": [50.0, 52.0], "kd": [60.0, 63.0]})
        if fails:
            failed = replace(result.runs[0], status="failed", error="loss is nan")
            result = replace(result, runs=(failed, *result.runs[1:]))
        monkeypatch.setattr(
            comparison, "compare", lambda specs, **others: given.update(others, specs=specs) or result
        )
        return CliRunner().invoke(app, list(arguments)), given

    return run


def test_without_flags_everything_is_as_the_function_has_it(call):
    done, given = call("base.json")
    assert done.exit_code == 0, done.output
    assert given["specs"] == [Path("base.json")]
    assert (given["launcher"], given["launcher_options"]) == ("local", ())
    assert {
        given[name]
        for name in ("distillers", "seeds", "budget", "eta", "baseline", "name", "output", "jobs", "reports")
    } == {None}
    assert "kd" in done.stdout
    assert "comparison.html" in done.stdout


def test_flags_reach_the_function(call):
    flags = ["--distillers", "kd, dkd", "--seeds", "0,5", "--jobs", "2", "--set", "train.epochs=3"]
    launcher = ["--launcher", "queue", "--launcher-option", "partition=gpu", "--launcher-option", "hours=2"]
    _, given = call("base.json", *flags, *launcher)
    assert (given["distillers"], given["seeds"], given["jobs"]) == (["kd", "dkd"], (0, 5), 2)
    assert given["overrides"] == ["train.epochs=3"]
    assert (given["launcher"], given["launcher_options"]) == ("queue", ["partition=gpu", "hours=2"])


@pytest.mark.parametrize(("flag", "value"), [("--reports", True), ("--no-reports", False)])
def test_reports_can_be_asked_for_and_refused(call, flag: str, value: bool):
    assert call("base.json", flag)[1]["reports"] is value


def test_json_alone_is_on_stdout(call):
    done, _ = call("base.json", "--json")
    assert json.loads(done.stdout)["launcher"] == "local"


def test_a_run_that_failed_makes_the_exit_code_1(call):
    done, _ = call("base.json", fails=True)
    assert done.exit_code == 1
    assert "loss is nan" in done.stdout
