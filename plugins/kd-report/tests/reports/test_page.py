from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kd_report.reports import paper
from kd_report.reports.facts import model_rows
from kd_report.reports.findings import find
from kd_report.reports.report import ReportResult, write_report
from kd_report.sections.classes import _by_class
from kd_report.sections.labels import labels

from kdcore import Predictions
from kdcore.plugin import get_plugins


@pytest.fixture(autouse=True)
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "find_spec", lambda name: None)


@pytest.fixture
def page_of(read_page) -> Callable[..., tuple[Any, ReportResult]]:
    """Writes a report and reads it."""

    def write(run: Any, opened: Any = None, **options: Any) -> tuple[Any, ReportResult]:
        made = write_report(run, opened, plugins=get_plugins(), **{"tsne": False, **options})
        return read_page(made.path.read_text("utf-8")), made

    return write


@pytest.mark.parametrize("teacher", [True, False], ids=["teacher", "alone"])
@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "unlabelled"])
@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_a_page_for_any_run(make_run, make_opened, page_of, classes: int, labelled: bool, teacher: bool):
    run = make_run(classes=classes, teacher=teacher, labelled=labelled)
    page, made = page_of(run, make_opened(run, classes=classes, teacher=teacher, labelled=labelled))
    titles = {
        "Accuracy by class": labelled,
        "Confusion of the student": labelled and classes <= 200,
        "Most frequent mistakes of the student": labelled,
        "Difference of class correlations": teacher,
        "Who is right": labelled and teacher,
        "Where they differ most": teacher,
        "Teacher, PCA": teacher,
        "Student, PCA": True,
        "Learning rate": True,
    }
    for title, there in titles.items():
        assert (title in page.text) == there, title
    assert ("ECE" in page.text) == labelled
    assert ("have no labels" in page.text) == (not labelled)
    assert made.path.stat().st_size < 900_000
    if labelled and classes == 1000:
        assert "20 of" in page.text
        assert "classes have no image here" in page.text


def test_the_result_at_a_glance(make_run, make_opened, page_of):
    run = make_run()
    page, _ = page_of(run, make_opened(run))
    assert "resnet10t learns from resnet34 by dkd on birds, 4,000 images, 12 epochs." in page.text
    assert "Student, top-1 70.0 % resnet10t; best 71.0 % after epoch 3" in page.text
    assert "Teacher, top-1 90.0 %" in page.text
    # no run of the same student alone: (70 - 10) / (90 - 10)
    assert "Skill kept 75.0 % of the teacher's lead over guessing (10.0 %)" in page.text
    assert "Smaller 272.9 × 78 k of 21.3 M parameters" in page.text  # noqa: RUF001
    assert "trained by teacher.json" in page.text
    assert "alpha 1" in page.text


def test_the_gap_to_a_run_without_a_teacher_beside_it(make_run, page_of):
    run = make_run()
    make_run("alone", teacher=False, top1=60.0)
    make_run("other-seed", teacher=False, top1=10.0, seed=1)
    make_run("other-student", teacher=False, top1=20.0, optimizer={"name": "adamw"})
    page, _ = page_of(run)
    assert "Gap closed 33 % from 60.0 % alone (alone) to the teacher's top-1" in page.text


def test_names_of_strangers_are_shown_and_not_run(make_run, make_opened, page_of):
    nasty = "<script>alert(1)</script>"
    run = make_run(data={"dataset": nasty})
    names = (nasty, "a" * 200, "Ä \N{SNOWMAN} <b>", *(str(k) for k in range(7)))
    page, made = page_of(run, make_opened(run, names=names))
    assert "<script>" not in made.path.read_text("utf-8")
    assert nasty in page.text


@pytest.mark.parametrize("epochs", [0, 1])
def test_few_epochs(make_run, make_opened, page_of, epochs: int):
    run = make_run(epochs=epochs)
    page, _ = page_of(run, make_opened(run))
    assert ("Loss terms" in page.text) == bool(epochs)


def test_losses_that_are_not_finite_leave_a_hole(make_run, page_of):
    run = make_run()
    records = run.metrics()
    records[3]["loss"] = float("nan")
    records[4]["terms"]["dkd.nckd"] = float("inf")
    run.write_metrics(records)
    page, _ = page_of(run)
    assert "Loss terms" in page.text


def test_images_whose_logits_are_not_finite_are_left_out(make_run, make_opened, page_of, predictions):
    run = make_run()
    student = predictions(10, 50, 1)
    student.logits[:20] = float("nan")
    page, _ = page_of(run, make_opened(run, predictions=(student, predictions(10, 50, 2))))
    assert "20 images are left out" in page.text
    student.logits[:] = float("inf")
    page, _ = page_of(run, make_opened(run, predictions=(student, None)))
    assert "none whose logits are finite" in page.text
    assert "Accuracy by class" not in page.text


@pytest.mark.parametrize("images", [1, 2, 3])
def test_hardly_any_images(make_run, make_opened, page_of, images: int):
    run = make_run()
    page, _ = page_of(run, make_opened(run, images=images))
    assert "Accuracy by class" in page.text


def test_a_model_without_embedding_is_mapped_by_its_logits(make_run, make_opened, page_of, predictions):
    found = predictions(10, 60, 1)
    found = Predictions(found.logits, found.target, found.position)
    run = make_run(teacher=False)
    page, _ = page_of(run, make_opened(run, teacher=False, predictions=(found, None)))
    assert "Of the logits: no adapter knows the model's embedding." in page.text


def test_a_model_that_says_always_the_same(make_run, make_opened, page_of, predictions):
    found = predictions(10, 60, 1)
    flat = Predictions(torch.zeros_like(found.logits), found.target, found.position, torch.ones(60, 4))
    run = make_run()
    page, _ = page_of(run, make_opened(run, predictions=(flat, flat)))
    assert "On 100.0 % of the images both say the same class" in page.text
    assert "Student, PCA" not in page.text


def test_the_page_of_a_failed_run_says_why(make_run, page_of):
    run = make_run(status="failed")
    summary = run.summary()
    run.write_summary({**summary, "error": "the disk is full"})
    page, _ = page_of(run, notes=["Nothing on images: there is no checkpoint"])
    assert "failed" in page.text
    assert "the disk is full" in page.text
    assert "Nothing on images: there is no checkpoint" in page.text


def test_what_is_missing_is_said(make_run, make_opened, page_of, images_of):
    run = make_run()
    opened = make_opened(run, teacher=False, missing="its run is gone", whole=images_of(5000))
    page, made = page_of(run, opened)
    assert "Nothing on the teacher's predictions: its run is gone" in page.text
    assert "from 400 of 5,000 evaluation images" in page.text
    assert any('pip install "matplotlib>=3.10"' in note for note in made.notes)


def test_images_that_are_gone_leave_their_numbers(make_run, make_opened, page_of):
    def gone(position: int) -> None:
        raise FileNotFoundError(position)

    run = make_run()
    page, _ = page_of(run, make_opened(run, image=gone))
    assert page.text.count("image not at hand") == 12


def test_a_run_in_progress_has_its_epochs(make_run, page_of):
    run = make_run(epochs=5)
    (run.path / "summary.json").unlink()
    run.begin({**run.spec(), "train": {**run.spec()["train"], "epochs": 30}}, {})
    page, _ = page_of(run)
    assert ", 5 epochs." in page.text
    assert "epochs 5 of 30" in page.text


def test_weights_that_a_model_brings_are_not_called_random():
    given = {"pretrained": False, "checkpoint": None, "options": {}}
    for about, source in (
        ({"model": "resnet34"}, "random at the start"),
        ({"model": "not-of-timm"}, None),
        ({"of": "student-ema"}, "the average of the student's"),
    ):
        assert dict(model_rows({}, {**given, **about})).get("weights") == source


def test_the_command_that_makes_the_page_again_names_the_folder(make_run, page_of):
    run = make_run("a b")
    page, _ = page_of(run)
    assert f"kd report '{run.path}' makes this page again" in page.text


def test_names_that_are_not_utf_8(make_run, make_opened, page_of):
    run = make_run(data={"dataset": "caf\udce9"})
    names = ("caf\udce9", *(str(k) for k in range(9)))
    page, _ = page_of(run, make_opened(run, names=names))
    assert r"caf\udce9" in page.text


def test_two_classes_of_one_name_have_their_own_numbers(predictions):
    found = find(predictions(3, 60, 1), None, ("crane", "crane", "owl"))
    assert found is not None
    page = str(_by_class(found))
    for about in found.student.scores.per_class:
        assert f">{about['f1']:.4g}<" in page or f">{round(about['f1'], 1):.4g}<" in page


def test_labels_of_images_whose_logits_are_not_finite_are_left_out():
    logits = torch.tensor([[2.0, -2.0], [-2.0, 2.0], [float("nan")] * 2])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    run: Any = SimpleNamespace(
        student=SimpleNamespace(thresholds=(0.5, 0.5), classes=("a", "b")),
        predictions=(Predictions(logits, target, torch.arange(3)), None),
    )
    section = labels(run)
    assert section is not None
    assert "1 images are left out" in section.text
    assert "100.00 (100.0 to 100.0)" in str(section.figures[0])
    assert "66.67" not in str(section.figures[0])
    run.predictions[0].logits[:] = float("nan")
    assert labels(run) is None
