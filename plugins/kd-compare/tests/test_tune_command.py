"""The flags of `kd tune`; the tuning itself is played."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from kd_compare.tune_command import tune
from kd_compare.tuning import tune as module
from kd_compare.tuning.result import TrialRow, TuneResult
from kd_compare.tuning.storage import import_optuna
from typer.testing import CliRunner

from kdcore import UserError


def row(number: int, score: float | None, **changes: Any) -> TrialRow:
    values = {"distiller.beta": 2.0 * number + 0.123456, "optimizer.name": "sgd"}
    return replace(TrialRow(number, "finished", values, score, (), {}, True, "a", None), **changes)


@pytest.fixture
def result(make_result) -> TuneResult:
    trials = (
        row(0, 50.0),
        row(1, None, status="failed", error="loss is nan"),
        row(2, 61.5),
        row(3, 70.0, feasible=False),
        row(4, 20.0, status="pruned"),
    )
    return TuneResult(
        directory=Path("runs/tune-some"),
        status="finished",
        objective="top1",
        minimize=False,
        space={"distiller.beta": "1..8", "optimizer.name": '"sgd","lamb"'},
        trials=trials,
        best=2,
        best_spec=Path("runs/tune-some/best.json"),
        importance={"distiller.beta": 0.75, "optimizer.name": 0.25},
        comparison=make_result({"vanilla": [50.0, 51.0], "default": [50.0, 51.0], "tuned": [55.0, 57.0]}),
        seconds=60.0,
    )


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, result: TuneResult):
    """Calls the command; returns its output and what the function was given."""
    given: dict[str, Any] = {}
    app = typer.Typer()
    app.command()(tune)
    monkeypatch.setattr(module, "tune", lambda spec, **others: given.update(others, spec=spec) or result)
    return lambda *arguments: (CliRunner().invoke(app, list(arguments)), given)


def test_flags_reach_the_function(call):
    space = ["--search", "distiller.beta=1..8", "--search", "auto"]
    limits = ["--constraint", "student.parameters<=1e6", "--objective", "top5", "--minutes", "2.5"]
    final = ["--final-seeds", "5", "--final-set", "data.eval_split=test", "--seeds", "0,4"]
    done, given = call(
        "a.json", *space, *limits, *final, "--pruner", "hyperband", "--worker", "b", "--retry-failed"
    )
    assert done.exit_code == 0, done.output
    assert (given["search"], given["constraints"]) == (
        ["distiller.beta=1..8", "auto"],
        ["student.parameters<=1e6"],
    )
    assert (given["objective"], given["minutes"], given["seeds"]) == ("top5", 2.5, (0, 4))
    assert (given["final_seeds"], given["final_overrides"]) == (5, ["data.eval_split=test"])
    assert (given["pruner"], given["worker"], given["trials"]) == ("hyperband", "b", 20)
    assert given["retry_failed"] is True


def test_the_best_trials_and_the_final_comparison_are_shown(call):
    done, _ = call("a.json")
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["trial", "top1", "beta", "name"],
        ["2", "61.5", "4.123", "sgd"],
        ["0", "50", "0.1235", "sgd"],
    ]
    assert "5 trials, of them 1 pruned, 1 failed." in done.stdout
    assert "Some failed: the same command with --retry-failed trains their values again." in done.stdout
    assert (
        "Over 2 fresh seeds: 56.00 with the tuned values, 50.50 with the spec's own; gain +5.50 ± 6.35"
        in done.stdout
    )
    assert "kd run runs/tune-some/best.json" in done.stdout


def test_the_gain_is_that_on_the_test_images_if_there_are_any(result: TuneResult):
    from kd_compare.statistics import Gain
    from kd_compare.tuning.page import final_gain

    comparison = result.comparison
    assert comparison is not None
    tests = {"default": (40.0, None), "tuned": (43.5, Gain(3.5, 1.5, 5.5, 2, 1.5, 5.5))}
    rows = [
        replace(row, test_score=tests[row.label][0], test_gain=tests[row.label][1])
        if row.label in tests
        else row
        for row in comparison.methods
    ]
    said = final_gain(replace(result, comparison=replace(comparison, methods=tuple(rows))))
    assert said == (
        "Over 2 fresh seeds, on the images of data.test_split: 43.50 with the tuned values, 40.00 with the spec's own; "
        "gain +3.50 ± 2.00 (95 % interval)."
    )


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_if_a_run_of_the_final_comparison_failed_the_exit_code_is_1(
    result: TuneResult, call, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
):
    comparison = result.comparison
    assert comparison is not None
    runs = (replace(comparison.runs[0], status="failed", error="loss is nan"), *comparison.runs[1:])
    failed = replace(result, comparison=replace(comparison, runs=runs))
    monkeypatch.setattr(module, "tune", lambda spec, **others: failed)
    done, _ = call("a.json", *flags)
    assert done.exit_code == 1
    assert done.stdout


def test_json_alone_is_on_stdout(call):
    done, _ = call("a.json", "--json")
    found = json.loads(done.stdout)
    assert (found["best"], found["trials"][2]["score"]) == (2, 61.5)


def test_the_page_shows_everything(result: TuneResult):
    from kd_compare.tuning.page import page

    text = page(result)
    for part in (
        "best so far",
        "importance of each value",
        "values of the trials",
        "loss is nan",
        "breaks a constraint",
    ):
        assert part in text
    assert "no trial is finished" not in page(
        replace(result, trials=(), best=None, importance={}, comparison=None)
    )


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UserError, match=r"(?s)needs the package optuna.*install it: .*(kd-compare\[tune\]|optuna>=)"
    ):
        import_optuna()
