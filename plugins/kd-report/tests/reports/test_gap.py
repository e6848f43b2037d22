from __future__ import annotations

import pytest
import torch
from kd_report.reports.gap import find_vanilla, gap, map_of_guessing

from kdcore.data.label_sets import LabelSets
from kdcore.data.source import Source
from kdcore.inspect import label_scores


def _summary(student: float | None, teacher: float | None) -> dict[str, object]:
    return {"student": {"top1": student}, "teacher": None if teacher is None else {"top1": teacher}}


def test_without_a_run_of_the_student_alone_it_begins_at_guessing():
    found = gap(_summary(50.0, 90.0), 10, [])
    assert found is not None
    assert found.percent == pytest.approx(50.0)
    assert (found.baseline, found.vanilla) == (10.0, ())
    assert gap(_summary(50.0, 90.0), None, []) is None


def test_it_begins_at_the_mean_of_the_runs_alone(make_run):
    alone = [make_run("a", teacher=False, top1=60.0), make_run("b", teacher=False, top1=70.0)]
    found = gap(_summary(75.0, 85.0), 10, alone)
    assert found is not None
    assert found.percent == pytest.approx(50.0)
    assert found.vanilla == (alone[0].path, alone[1].path)


def test_a_teacher_that_is_no_better_leaves_no_gap(make_run):
    found = gap(_summary(75.0, 60.0), 10, [make_run("a", teacher=False, top1=60.0)])
    assert found is not None
    assert found.percent is None


@pytest.mark.parametrize(("student", "teacher"), [(None, 90.0), (50.0, None)])
def test_nothing_is_said_of_what_was_not_measured(student: float | None, teacher: float | None):
    assert gap(_summary(student, teacher), 10, []) is None


@pytest.mark.parametrize("name", ["map", "micro_f1"])
def test_with_several_labels_it_begins_at_the_student_alone(make_run, name: str):
    summary = {"student": {name: 75.0}, "teacher": {name: 90.0}}
    assert gap(summary, 5, []) is None  # guessing has no such value
    alone = make_run("a", teacher=False)
    alone.write_summary({**(alone.summary() or {}), "student": {name: 60.0}})
    found = gap(summary, 5, [alone])
    assert found is not None
    assert (found.measure, found.percent, found.baseline) == (name, pytest.approx(50.0), 60.0)


def test_map_without_a_run_alone_begins_at_equal_scores_for_all_images():
    rows = torch.tensor([[1, 0, 0, -1], [1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.int8)
    images = Source()
    images.label_sets, images.labels = LabelSets.of(rows)
    chance = map_of_guessing(images)
    assert chance == pytest.approx(100 * (3 / 4 + 2 / 4 + 1 / 3) / 3)
    known = [label_scores(torch.zeros(4, 4), rows.float(), resamples=0).overall["map"]]
    assert known == [pytest.approx(chance)]
    found = gap({"student": {"map": 75.0}, "teacher": {"map": 90.0}}, 4, [], 60.0)
    assert found is not None
    assert (found.percent, found.baseline, found.vanilla) == (pytest.approx(50.0), 60.0, ())
    assert gap({"student": {"micro_f1": 75.0}, "teacher": {"micro_f1": 90.0}}, 4, [], 60.0) is None
    assert map_of_guessing(Source()) is None


def test_an_encoder_is_compared_by_its_neighbours():
    found = gap({"student": {"knn_top1": 50.0}, "teacher": {"knn_top1": 90.0}}, 10, [])
    assert found is not None
    assert (found.measure, found.percent) == ("knn_top1", pytest.approx(50.0))
    assert gap({"student": {"agreement": 50.0}, "teacher": {"top1": 90.0}}, 10, []) is None


def test_only_finished_runs_of_the_same_student_on_the_same_data_count(make_run):
    run = make_run()
    make_run("stopped", teacher=False, status="interrupted")
    make_run("longer", teacher=False, epochs=20)
    make_run("with-a-teacher", distiller={"name": "kd"})
    assert find_vanilla(run, run.spec()) == []
    seeds = [make_run(f"seed-{seed}", teacher=False, seed=seed) for seed in (1, 2)]
    assert [found.path.name for found in find_vanilla(run, run.spec())] == [one.path.name for one in seeds]
    make_run("seed-0", teacher=False)
    assert [found.path.name for found in find_vanilla(run, run.spec())] == ["seed-0"]


@pytest.mark.parametrize(
    "spec",
    [
        {"trackers": [{"name": "tensorboard"}]},
        {"recipe": {"applied": "cifar100"}},
        {"report": 500, "checkpoint": {"minutes": 1.0}},
        {
            "train": {
                "epochs": 12,
                "batch_size": 64,
                "precision": "fp32",
                "ema": 0.9,
                "grad_checkpointing": True,
            }
        },
    ],
)
def test_a_run_that_differs_in_nothing_that_changes_results_is_the_baseline(make_run, spec):
    run = make_run()
    make_run("alone", teacher=False, **spec)
    assert [found.path.name for found in find_vanilla(run, run.spec())] == ["alone"]


def test_a_run_of_another_learning_rate_is_no_baseline(make_run):
    run = make_run()
    make_run("alone", teacher=False, optimizer={"name": "sgd", "lr": 0.2, "weight_decay": 5e-4})
    assert find_vanilla(run, run.spec()) == []


def test_a_run_of_another_task_loss_is_no_baseline(make_run):
    run = make_run()
    make_run("alone", teacher=False, task={"weight": 0.5})
    make_run("smoothed", teacher=False, task={"weight": 1.0, "label_smoothing": 0.1})
    assert [found.path.name for found in find_vanilla(run, run.spec())] == ["alone"]
