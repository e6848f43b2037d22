"""Runs with several teachers: each has its images, its cache, its accuracy, and its place in the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import kdcore
from kdcore import UserError, open_run, run
from kdcore.run.fill_cache import cache_teacher

pytest.importorskip("kd_classic")
SMALL = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
WIDE = {"model": "resnet10t", "options": {"channels": [8, 16, 16, 32]}, "image_size": 48}
TEACHERS = [{"name": "small", **SMALL}, {"name": "wide", **WIDE}]
TWO = [{"name": "kd", "teacher": "small"}, {"name": "dist", "teacher": "wide"}]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def problems(path: Path) -> dict[str, object]:
    with pytest.raises(UserError) as caught:
        kdcore.validate(path)
    return {problem.where: problem for problem in caught.value.problems}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of two teachers, and its spec."""
    folder = tmp_path_factory.mktemp("several")
    spec = {
        "name": "two",
        "data": {
            "dataset": "digits",
            "image_size": 32,
            "train_samples": 64,
            "eval_samples": 40,
            "workers": 0,
        },
        "teacher": TEACHERS,
        "student": {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}},
        "distiller": TWO,
        "task": {"weight": 1.0},
        "train": {"epochs": 2, "batch_size": 32},
        "report": False,
    }
    path = folder / "two.json"
    path.write_text(json.dumps(spec))
    return spec, run(path, quiet=True)


def test_results_of_each_teacher(done):
    _, result = done
    summary = result.summary["teacher"]
    assert [one["name"] for one in summary] == ["small", "wide"]
    assert all(0 <= one["top1"] <= 100 and one["parameters"] > 0 for one in summary)
    assert summary[0]["parameters"] < summary[1]["parameters"]
    for record in records(result.directory):
        agreements = record["eval"]["agreements"]
        assert set(agreements) == {"small", "wide"}
        assert record["eval"]["agreement"] == pytest.approx(sum(agreements.values()) / 2)
        assert {name.partition(".")[0] for name in record["terms"]} == {"kd", "dist"}


def test_the_resolved_spec_repeats_the_run(done, tmp_path):
    _, result = done
    resolved = json.loads((result.directory / "spec.json").read_text())
    assert [one["name"] for one in resolved["teacher"]] == ["small", "wide"]
    assert [one["teacher"] for one in resolved["distiller"]] == ["small", "wide"]
    again = run(result.directory / "spec.json", output=tmp_path, quiet=True)
    first, second = (load_file(one.directory / "student" / "model.safetensors") for one in (result, again))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_an_opened_run_has_each_teacher_and_their_mean(done):
    _, result = done
    opened = open_run(result.directory)
    assert list(opened.teacher.members) == ["small", "wide"]
    student, mean = opened.predict(limit=8)
    by_hand = []
    with torch.no_grad():
        images = torch.cat([batch for batch, _ in opened.images.batches])[:8].to(opened.device)
        for member in opened.teacher.members.values():
            seen = images if member.transform is None else member.transform(images)
            by_hand.append(member.model(seen).softmax(1).cpu())
    torch.testing.assert_close(mean.logits[:8].softmax(1), torch.stack(by_hand).mean(0))
    assert len(student) == len(mean)


def test_eval_measures_each_teacher(done):
    kd_report = pytest.importorskip("kd_report")
    _, result = done
    found = kd_report.evaluate(result.directory, batch_sizes=())
    for one in result.summary["teacher"]:
        assert found.teachers[one["name"]].top1 == pytest.approx(one["top1"])
    assert found.teacher.name == "mean of small, wide"


def test_the_report_shows_each_teacher(done):
    kd_report = pytest.importorskip("kd_report")
    _, result = done
    page = kd_report.report(result.directory).path.read_text()
    for one in result.summary["teacher"]:
        assert f"Teacher '{one['name']}'" in page.replace("&#39;", "'")


@pytest.mark.parametrize("filled", [True, False])
def test_each_teacher_has_its_cache(done, tmp_path, filled):
    spec, live = done
    cached = {**spec, "teacher_cache": {"augmentations": 2, "dtype": "float32"}}
    path = tmp_path / "two.json"
    path.write_text(json.dumps(cached))
    if filled:
        found = cache_teacher(path, quiet=True)
        assert set(found.paths) == {"small", "wide"}
        assert found.rows == found.computed == 2 * 2 * 64
        assert cache_teacher(path, quiet=True).computed == 0
    result = run(path, quiet=True)
    assert len(list((result.directory / "teacher-cache").glob("*/manifest.json"))) == 2
    first, second = (load_file(one.directory / "student" / "model.safetensors") for one in (live, result))
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=1e-4, rtol=1e-3, msg=key)


def test_paused_and_resumed_to_the_bit(done, tmp_path):
    spec, whole = done
    path = tmp_path / "two.json"
    path.write_text(json.dumps(spec))
    run(path, until=1, quiet=True)
    result = run(path, quiet=True)
    first, second = (load_file(one.directory / "student" / "model.safetensors") for one in (whole, result))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert result.summary["teacher"] == whole.summary["teacher"]


def test_another_weight_of_one_teacher_is_noticed(spec_file, tmp_path):
    path = spec_file(teacher=TEACHERS, distiller=TWO, task={"weight": 1.0}, train={"epochs": 2})
    run(path, until=1, quiet=True)
    changed = json.loads(path.read_text())
    changed["teacher"][1]["options"] = {"channels": [8, 16, 32, 32]}
    path.write_text(json.dumps(changed))
    with pytest.raises(UserError):
        run(path, quiet=True)


def test_the_teachers_of_a_list_are_trained_first(spec_file, tmp_path):
    first = spec_file("first", teacher=None, distiller="vanilla")
    second = spec_file("second", teacher=None, distiller="vanilla", seed=1)
    teachers = [{"name": "one", "run": first.name}, {"name": "other", "run": second.name}]
    path = spec_file(teacher=teachers, distiller={"name": "kd", "teacher": "mean"})
    result = run(path, quiet=True)
    for one, below in zip(result.summary["teacher"], ("first", "second"), strict=True):
        summary = json.loads((result.directory.parent / below / "summary.json").read_text())
        assert one["top1"] == pytest.approx(summary["student"]["top1"])


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"teacher": [SMALL, {"name": "b", **WIDE}]}, "teacher", "each needs a 'name'"),
        (
            {"teacher": [{"name": "a", **SMALL}, {"name": "a", **WIDE}]},
            "teacher",
            "two teachers have the name 'a'",
        ),
        ({"teacher": [{"name": "student", **SMALL}, TEACHERS[1]]}, "teacher", "stands for the student"),
        ({"teacher": [{"name": "mean", **SMALL}, TEACHERS[1]]}, "teacher", "stands for the mean"),
        ({"teacher": [{"name": "a/b", **SMALL}, TEACHERS[1]]}, "teacher", "must be letters, digits"),
        ({"teacher": []}, "teacher", "too short"),
        (
            {"teacher": [TEACHERS[0], {"name": "wide", "model": "resnet10x"}]},
            "teacher[1].model",
            "of this name",
        ),
        ({"teacher": [TEACHERS[0], {**TEACHERS[1], "modle": 1}]}, "teacher[1].modle", "no key 'modle'"),
        ({"distiller": {"name": "kd", "teacher": "smal"}}, "distiller.teacher", "no teacher has this name"),
        ({"distiller": {"name": "kd", "teacher": 3}}, "distiller.teacher", "not a teacher's name"),
        ({"distiller": "kd"}, "distiller", "reads one teacher, and the spec has several"),
        (
            {"teacher": SMALL, "distiller": {"name": "kd", "teacher": "mean"}},
            "distiller.teacher",
            "only one teacher",
        ),
        (
            {"teacher": None, "distiller": {"name": "kd", "teacher": "a"}},
            "distiller.teacher",
            "has no teacher",
        ),
    ],
)
def test_what_is_wrong_is_told(spec_file, change, where, message):
    path = spec_file(**{"teacher": TEACHERS, "distiller": TWO, "task": {"weight": 1.0}, **change})
    found = problems(path)
    assert where in found
    assert message in found[where].message


def test_a_teacher_that_nobody_reads_is_a_warning(spec_file):
    path = spec_file(teacher=TEACHERS, distiller={"name": "kd", "teacher": "small"})
    checked = kdcore.validate(path)
    assert "teacher 'wide': no distiller reads it" in checked.warnings
    assert [line for line in checked.lines() if line.startswith("teacher")] == [
        f"teacher  '{name}': resnet10t, {parameters:,} parameters"
        for name, (_, parameters) in checked.teachers.items()
    ]


def test_set_reaches_each_teacher(spec_file):
    from kdcore.spec.load import load_spec

    path = spec_file(teacher=TEACHERS, distiller=TWO, task={"weight": 1.0})
    loaded = load_spec(path, overrides=["teacher.1.image_size=64", "distiller.0.teacher=wide"])
    assert [member.spec.image_size for member in loaded.spec.members] == [None, 64]
    assert [item.teacher for item in loaded.distillers] == ["wide", "wide"]
