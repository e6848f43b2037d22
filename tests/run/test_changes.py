from __future__ import annotations

import copy
from typing import Any

import pytest

from kdcore.run.changes import compare


def _split(**fields: Any) -> dict[str, Any]:
    split = {"samples": 6, "names": "n", "labels": "l", "sizes": "s", "contents": "c", "modified": 10**18}
    return {**split, "classes": ["cat", "dog"], **fields}


@pytest.fixture
def before() -> dict[str, Any]:
    images = {"image_size": [32, 32], "mean": [0.5], "std": [0.5]}
    return {
        "teachers": {"teacher": {"model": "resnet18", "weights": "a" * 64, **images}},
        "student": {**images, "interpolation": "bicubic", "crop_pct": 0.9},
        "train": _split(),
        "eval": _split(),
        "plugins": {"kd-classic": {"distribution": "kd-classic", "version": "1.0", "code": "x"}},
        "machine": {
            "device": "cpu",
            "name": None,
            "threads": 2,
            "processes": 1,
            "libraries": {"torch": "2.9.0", "timm": "1.0.31"},
        },
    }


def test_nothing_is_reported_where_nothing_changed(before: dict[str, Any]):
    changes = compare(before, copy.deepcopy(before))
    assert (changes.problems, changes.notes, changes.teacher) == ([], [], False)


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        ("teachers.teacher.weights", "b" * 64, "teacher", "the teacher's weights changed"),
        ("teachers.teacher.model", "resnet34", "teacher", "resnet18 before, resnet34 now"),
        ("teachers.teacher.mean", [0.1], "teacher", "[0.5] before, [0.1] now"),
        ("student.crop_pct", 1.0, "student", "0.9 before, 1.0 now"),
        ("train.samples", 5, "data.train_split", "6 before, 5 now"),
        ("train.names", "other", "data.train_split", "a different name"),
        ("train.labels", "other", "data.train_split", "a different label"),
        ("train.sizes", "other", "data.train_split", "a different size"),
        ("train.contents", "other", "data.train_split", "different content"),
        ("eval.contents", "other", "data.eval_split", "the evaluation images changed"),
        ("train.classes", ["cat", "fox"], "data.train_split", "removed: dog; new: fox"),
        ("train.classes", ["dog", "cat"], "data.train_split", "different order"),
        (
            "plugins.kd-classic.version",
            "1.1",
            "plugin kd-classic",
            "kd-classic 1.0 before, kd-classic 1.1 now",
        ),
        ("plugins.kd-classic.code", "y", "plugin kd-classic", "different code with the same version"),
        ("machine.device", "cuda", "device", "cpu before, cuda now"),
    ],
)
def test_what_changes_results_is_a_problem(
    before: dict[str, Any], path: str, value: Any, where: str, words: str
):
    now = copy.deepcopy(before)
    inner = now
    *steps, last = path.split(".")
    for step in steps:
        inner = inner[step]
    inner[last] = value
    (problem,) = compare(before, now).problems
    assert problem.where == where
    assert words in problem.message
    assert "--fresh" in str(problem)
    assert "--accept-changes" in str(problem)


def test_plugins_that_come_and_go_are_problems(before: dict[str, Any]):
    now = copy.deepcopy(before)
    now["plugins"] = {"kd-ofa": {"distribution": "kd-ofa", "version": "0.1", "code": "z"}}
    texts = [str(problem) for problem in compare(before, now).problems]
    assert len(texts) == 2
    assert "kd-classic 1.0 before, not used now" in texts[0]
    assert "not used before, kd-ofa 0.1 now" in texts[1]


def test_what_only_rounds_is_one_line(before: dict[str, Any]):
    now = copy.deepcopy(before)
    now["machine"] |= {"threads": 8, "processes": 2, "libraries": {"torch": "2.10.0", "timm": "1.0.31"}}
    changes = compare(before, now)
    assert changes.problems == []
    (note,) = changes.notes
    assert "threads 2 -> 8, processes 1 -> 2, torch 2.9.0 -> 2.10.0" in note
    assert "timm" not in note


def test_files_that_were_only_written_again_are_a_note(before: dict[str, Any]):
    now = copy.deepcopy(before)
    now["train"]["modified"] += 10**9
    changes = compare(before, now)
    assert changes.problems == []
    (note,) = changes.notes
    assert "training images were written at 2001-09-09 01:46 UTC" in note


@pytest.mark.parametrize(("path", "anew"), [("teachers", True), ("eval", True), ("train", False)])
def test_whether_the_teacher_has_to_be_measured_again(before: dict[str, Any], path: str, anew: bool):
    now = copy.deepcopy(before)
    inner = now["teachers"]["teacher"] if path == "teachers" else now[path]
    inner["weights" if path == "teachers" else "contents"] = "other"
    assert compare(before, now).teacher is anew
