from __future__ import annotations

import json
from typing import Any

import pytest
from kd_report.reports import paper
from kd_report.reports.facts import Facts
from kd_report.reports.findings import find

pytest.importorskip("matplotlib", reason="the figures need matplotlib")


def _draw(
    run: Any, predictions: Any, classes: int, *, teacher: bool, labelled: bool, names: Any = None
) -> set[str]:
    guide = predictions(classes, 120, 2, labelled) if teacher else None
    found = find(predictions(classes, 120, 1, labelled), guide, names)
    notes: list[str] = []
    written = paper.draw(Facts.read(run), found, run.path / "figures", notes)
    assert notes == []
    assert all(path.stat().st_size > 500 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".json"}
    json.loads(written[0].read_text(), parse_constant=lambda name: pytest.fail(name))
    return {path.stem for path in written} - {"numbers"}


def test_names_that_matplotlib_would_read_as_formulas(make_run, predictions):
    names = ("$", "a$b^$", "\N{SNOWMAN}")
    drawn = _draw(make_run(classes=3), predictions, 3, teacher=True, labelled=True, names=names)
    assert drawn == {
        "accuracy",
        "losses",
        "classes",
        "confusion",
        "calibration",
        "correlation",
        "embeddings",
    }


def test_without_labels_and_teacher(make_run, predictions):
    run = make_run(teacher=False, labelled=False)
    (run.path / "figures").mkdir()
    (run.path / "figures" / "confusion.png").write_text("of an earlier report")
    drawn = _draw(run, predictions, 300, teacher=False, labelled=False)
    assert drawn == {"losses", "embeddings"}
    assert not (run.path / "figures" / "confusion.png").exists()


def test_a_run_without_a_summary_has_the_accuracy_of_its_records(make_run, monkeypatch):
    run = make_run(epochs=2)
    (run.path / "summary.json").unlink()
    figure = paper._accuracy(Facts.read(run))
    assert figure is not None
    assert figure.axes[0].get_ylabel() == "top-1, %"
