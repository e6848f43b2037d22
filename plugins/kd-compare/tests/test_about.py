"""What each row of the table is, on the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kd_compare.about import MethodAbout, about_method
from kd_compare.page import page

from kdcore.plugin import get_plugins

SPEC: dict[str, Any] = {
    "name": "x",
    "seed": 0,
    "data": {"dataset": "digits", "train_split": "train", "eval_split": "test", "image_size": 16},
    "teacher": {"model": "resnet18", "checkpoint": "/some/where/big.safetensors"},
    "student": {"model": "resnet10t", "options": {"channels": [8, 16]}},
    "train": {"epochs": 30, "batch_size": 64, "precision": "fp32"},
    "optimizer": {"name": "sgd", "lr": 0.05, "weight_decay": 0.0005},
    "scheduler": {"name": "cosine"},
}
SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 30,
    "data": {
        "train_size": 1200,
        "eval_size": 597,
        "train_split": "train",
        "eval_split": "test",
        "num_classes": 10,
    },
    "test": {"split": "holdout", "size": 300},
    "student": {"model": "resnet10t", "parameters": 12345, "top1": 53.0},
    "teacher": {"model": "resnet18", "parameters": 11_000_000, "top1": 98.765},
}


@pytest.fixture
def result(make_result, tmp_path: Path):
    """Two methods whose specs and runs are in a folder."""
    found = make_result({"vanilla": [50.0, 52.0], "kd": [53.0, 56.0]}, directory=tmp_path)
    runs = []
    for run in found.runs:
        name = f"{run.method}-seed{run.seed}"
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (tmp_path / "specs").mkdir(exist_ok=True)
        options = {"name": "kd", "temperature": 2.5} if run.method == "kd" else {"name": "vanilla"}
        spec = {**SPEC, "distiller": [options], "seed": run.seed}
        (tmp_path / "specs" / f"{name}.json").write_text(json.dumps(spec))
        summary = {**SUMMARY, "teacher": None} if run.method == "vanilla" else SUMMARY
        (folder / "summary.json").write_text(json.dumps(summary))
        runs.append(replace(run, directory=str(folder)))
    return replace(found, runs=tuple(runs))


def _about(result, label: str) -> MethodAbout:
    row = next(row for row in result.methods if row.label == label)
    return about_method(result, row, get_plugins())


def _rows(about: MethodAbout) -> dict[str, dict[str, str]]:
    return {group.title: dict(group.rows) for group in about.groups}


def test_a_method_has_its_data_models_and_options(result):
    groups = _rows(_about(result, "kd"))
    assert groups["Data"] == {
        "dataset": "digits",
        "training": "1,200 images of 'train'",
        "evaluation": "597 images of 'test'",
        "test": "300 images of 'holdout'",
        "classes": "10",
        "input": "16 \N{MULTIPLICATION SIGN} 16 px",
    }
    assert (groups["Training"]["epochs"], groups["Training"]["batch"]) == ("30", "64")
    assert "seed" not in groups["Training"]  # each run has another one
    assert groups["Student"]["parameters"] == "12,345"
    assert (groups["Teacher"]["weights"], groups["Teacher"]["top-1"]) == ("big.safetensors", "98.77 %")
    assert groups["Distiller: kd"] == {"temperature": "2.5"}
    assert "Tuning" not in groups


def test_a_student_alone_has_no_teacher(result):
    assert "Teacher" not in _rows(_about(result, "vanilla"))


def test_a_run_links_its_report_or_has_the_command_that_makes_it(result):
    first, *others = result.runs[2:]
    report = str(Path(first.directory) / "report.html")
    waiting = replace(others[0], status="waiting", top1=None)
    linked = replace(result, runs=(*result.runs[:2], replace(first, report=report), waiting))
    runs = _about(linked, "kd").runs
    assert [(run.state, run.link, run.command) for run in runs] == [
        ("53.00 %", "runs/kd-seed0/report.html", None),
        ("waiting", None, None),
    ]
    assert [run.command for run in _about(linked, "vanilla").runs] == [
        "kd report runs/vanilla-seed0",
        "kd report runs/vanilla-seed1",
    ]
    text = page(linked)
    assert '<a href="runs/kd-seed0/report.html">report</a>' in text
    assert "<code>kd report runs/vanilla-seed1</code>" in text
    assert text.count("<details><summary>") == 2 + 1  # and that of all runs
    assert "98.77 %" in text


def test_a_tuned_method_has_its_budget_and_its_values(result):
    one = {"values": {"distiller.temperature": 2.5}, "score": 54.321, "own_score": 50.0}
    tuned = {
        "trials": 20,
        "sampler": "tpe",
        "sampler_seed": 3,
        "seed": 7,
        "methods": {"kd": one, "vanilla": None},
    }
    tuned["methods"]["kd"]["search"] = {"distiller.temperature": "1..8"}
    found = replace(result, tuned=tuned)
    assert _rows(_about(found, "kd"))["Tuning"] == {
        "trials": "20",
        "sampler": "tpe, seed 3",
        "distiller.temperature": "2.5",
        "score of the trial": "54.32",
        "with its own values": "50.00",
    }
    (group,) = [group for group in _about(found, "vanilla").groups if group.title == "Tuning"]
    assert "not tuned" in group.note


@pytest.mark.parametrize("damage", ["gone", "no JSON"])
def test_a_spec_that_cannot_be_read_leaves_the_other_runs(result, damage: str):
    for number in range(2):
        spec = result.directory / "specs" / f"kd-seed{number}.json"
        spec.unlink() if damage == "gone" else spec.write_text("{")
        titles = [group.title for group in _about(result, "kd").groups]
        assert ("Data" in titles) == (number == 0)
    assert len(_about(result, "kd").runs) == 2
    assert "seed 1: 56.00 %" in page(result)
