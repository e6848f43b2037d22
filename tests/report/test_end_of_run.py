from __future__ import annotations

import json
from pathlib import Path

import pytest
from kd_report import report
from kd_report.reports import at_the_end, paper
from kd_report.sections import differ

from kdcore import run
from kdcore.plugins import get_plugins

TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


@pytest.fixture(autouse=True)
def reports_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KD_NO_REPORT", raising=False)


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "find_spec", lambda name: None)


def test_a_run_ends_with_its_report_and_figures(spec_file, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    # a folded teacher rounds otherwise than the one that a report of later opens
    teacher = {**TEACHER, "fold": False}
    path = spec_file(teacher=teacher, distiller="kd", train={"ema": 0.9}, data={"eval_samples": 60})
    done = run(path)
    page = (done.directory / "report.html").read_text("utf-8")
    assert "resnet10t learns from resnet10t by kd on digits, 40 images, 2 epochs." in page
    assert f"{done.summary['student']['top1']:.1f} %" in page
    figures = {item.name for item in (done.directory / "figures").iterdir()}
    names = ("accuracy", "losses", "classes", "confusion", "calibration", "correlation", "embeddings")
    assert figures == {"numbers.json", *(f"{name}.{suffix}" for name in names for suffix in ("png", "pdf"))}
    found = json.loads((done.directory / "figures" / "numbers.json").read_text())
    # the models at hand are those that the run measured, and all evaluation images fit
    assert found["images"] == 60
    assert found["student"]["top1"] == pytest.approx(done.summary["student"]["top1"])
    assert found["teacher"]["top1"] == pytest.approx(done.summary["teacher"]["top1"])
    assert found["agreement"] == pytest.approx(done.summary["student"]["agreement"])
    assert done.summary["data"] == {
        "num_classes": 10,
        "train_size": 40,
        "train_labelled": 40,
        "eval_size": 60,
        "image_size": [16, 16],
        "train_split": "train",
        "eval_split": "test",
    }
    assert "report.html" in capsys.readouterr().err
    before = (done.directory / "figures" / "numbers.json").read_text()
    again = report(done.directory)
    assert again.path == done.directory / "report.html"
    assert (done.directory / "figures" / "numbers.json").read_text() == before


@pytest.mark.usefixtures("without_matplotlib")
def test_without_matplotlib_only_the_figures_for_papers_are_missing(
    spec_file, capsys: pytest.CaptureFixture[str]
):
    done = run(spec_file(train={"epochs": 1}, report=20))
    page = (done.directory / "report.html").read_text("utf-8")
    assert "pip install" in page
    assert "from 20 of 50 evaluation images" in page
    assert [item.name for item in (done.directory / "figures").iterdir()] == ["numbers.json"]
    assert 'pip install "matplotlib>=3.10"' in capsys.readouterr().err


@pytest.mark.parametrize("how", ["spec", "environment"])
def test_it_can_be_switched_off(spec_file, monkeypatch: pytest.MonkeyPatch, how: str):
    if how == "environment":
        monkeypatch.setenv("KD_NO_REPORT", "1")
    done = run(spec_file(train={"epochs": 1}, **({"report": False} if how == "spec" else {})), quiet=True)
    assert not (done.directory / "report.html").exists()
    assert not (done.directory / "figures").exists()


def test_without_kd_report_a_run_ends_without_a_report_and_says_nothing(
    spec_file, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("KD_DISABLE_PLUGINS", "kd-report")
    get_plugins.cache_clear()
    done = run(spec_file(train={"epochs": 1}))
    get_plugins.cache_clear()
    assert done.summary["status"] == "finished"
    assert not (done.directory / "report.html").exists()
    assert "report" not in capsys.readouterr().err.replace("kd-report", "")


@pytest.mark.usefixtures("without_matplotlib")
def test_a_section_that_fails_is_a_line_at_the_end(
    spec_file, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(differ, "cards", lambda *arguments: 1 / 0)
    done = run(spec_file(teacher=TEACHER, distiller="kd", train={"epochs": 1}))
    line = "Left out: report section 'differ' of plugin kd-report 0.1.0: it raised ZeroDivisionError"
    assert f"report   {line}" in capsys.readouterr().err
    page = (done.directory / "report.html").read_text("utf-8")
    assert "it raised ZeroDivisionError" in page
    assert 'id="embeddings"' in page


def test_a_report_that_fails_is_a_warning(
    spec_file, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(*arguments: object, **keywords: object) -> None:
        raise ZeroDivisionError("of no use")

    monkeypatch.setattr(at_the_end, "write_report", fail)
    done = run(spec_file(train={"epochs": 1}))
    assert done.summary["status"] == "finished"
    assert "report: it could not be made (ZeroDivisionError: of no use)" in capsys.readouterr().err


@pytest.mark.usefixtures("without_matplotlib")
def test_asking_for_another_report_does_not_make_it_another_run(spec_file):
    first = run(spec_file(train={"epochs": 1}, report=False), quiet=True)
    again = run(spec_file(train={"epochs": 1}, report=30), quiet=True)
    assert again.summary == first.summary


def test_an_unfinished_run_has_a_report_on_request(spec_file, without_matplotlib: None, tmp_path: Path):
    done = run(spec_file(train={"epochs": 1}, report=False), quiet=True)
    (done.directory / "summary.json").write_text(json.dumps({"status": "interrupted", "epochs": 1}))
    page = report(done.directory, output=tmp_path / "page.html", images=30).path.read_text("utf-8")
    assert "interrupted" in page
    assert "Confusion of the student" in page
    assert not (done.directory / "figures").exists()
