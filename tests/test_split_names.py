"""A split is called in outputs what it is called on disk, whatever word of the spec found it."""

from __future__ import annotations

import json

import pytest
from kd_export import card, export
from kd_report import evaluate
from kd_report.reports.facts import Facts, data_rows
from PIL import Image

import kdcore
from kdcore.inspect import about_student, open_run_student
from kdcore.rundir.directory import RunDirectory


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Of a run on images in `training/` and `validation/`, which the spec calls `train` and, by default, `test`."""
    root = tmp_path_factory.mktemp("splits")
    for split in ("training", "validation"):
        for level, name in ((0, "dark"), (255, "light")):
            for number in range(2):
                path = root / "images" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (level,) * 3).save(path)
    return {
        "name": "named",
        "output": str(root),
        "data": {"dataset": str(root / "images"), "image_size": 32, "workers": 0},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 4},
    }


@pytest.fixture(scope="module")
def run(spec):
    return RunDirectory(kdcore.run(spec, quiet=True).directory)


def test_validate(spec):
    found = kdcore.validate(spec)
    assert (found.train_split, found.eval_split) == ("training", "validation")
    assert found.lines()[0].endswith("2 classes, trained on 'training', evaluated on 'validation'")
    without = kdcore.validate({**spec, "data": {**spec["data"], "eval_split": None}})
    assert without.lines()[0].endswith("trained on 'training'")


def test_summary_and_report(run):
    assert run.summary()["data"]["eval_split"] == "validation"
    rows = dict(data_rows(Facts.read(run)))
    assert rows["training"] == "4 images of 'training'"
    assert rows["evaluation"] == "4 images of 'validation'"


def test_export_and_card(run):
    student = open_run_student(run.path)
    assert (student.train_split, student.split) == ("training", "validation")
    details = dict(card._details(student))
    assert details["Data"].endswith("of split `training`, evaluated on split `validation`")
    assert "On split `validation` of" in card._results(student)
    assert about_student(student, "torch")["results"]["split"] == "validation"
    exported = export(run.path, to="torch")
    assert exported.check.split == "validation"


def test_eval(run):
    assert evaluate(str(run.path), batch_sizes=()).split == "validation"


def test_a_run_of_before_knows_the_words_of_its_spec(run):
    summary = run.summary()
    del summary["data"]["eval_split"], summary["data"]["train_split"]
    (run.path / "summary.json").write_text(json.dumps(summary))
    student = open_run_student(run.path)
    assert (student.train_split, student.eval_split) == ("train", "test")
