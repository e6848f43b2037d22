from __future__ import annotations

import json
from pathlib import Path

import pytest
from kd_report import report

from kdcore import UserError


def test_several_runs_on_one_page(make_run, read_page, tmp_path: Path):
    first = make_run("kd-run", top1=65.0, distiller={"name": "kd", "temperature": 4.0})
    second = make_run("dkd-run", top1=75.0)
    alone = make_run("alone", teacher=False, top1=60.0)
    (first.path / "report.html").write_text("its own")
    (first.path / "figures").mkdir()
    (first.path / "figures" / "numbers.json").write_text(json.dumps({"student": {"ece": 4.25}}))
    made = report(first.path, second.path, alone.path)
    assert made.path == tmp_path / "runs" / "compared.html"
    page = read_page(made.path.read_text("utf-8"))
    assert "Highest top-1 of the student: 75.00 %, dkd-run." in page.text
    # gap closed: (65 - 60) / (90 - 60); ECE from the run's own report
    assert "kd-run kd resnet10t 78 k 65.00 % 66.00 % 90.00 % 16.7 % 75.0 % 4.25 % 12" in page.text
    assert page.text.index("dkd-run dkd") < page.text.index("kd-run kd ") < page.text.index("alone vanilla")
    assert page.links == ["kd-run/report.html"]
    assert "distiller.temperature – 4" not in page.text  # noqa: RUF001
    assert "distiller.temperature 4" in page.text
    assert "optimizer.lr" not in page.text


def test_an_unfinished_run_and_many_runs(make_run, read_page, tmp_path: Path):
    runs = [make_run(f"r{number}", top1=50.0 + number) for number in range(9)]
    runs.append(make_run("stopped", status="interrupted", epochs=1))
    made = report(*(run.path for run in runs), output=tmp_path / "page.html")
    page = read_page(made.path.read_text("utf-8"))
    assert "1, interrupted" in page.text
    assert "The 7 highest of 10." in page.text


def test_equal_names_are_told_apart(make_run, read_page, tmp_path: Path):
    run = make_run("same")
    other = tmp_path / "elsewhere" / "same"
    other.mkdir(parents=True)
    for name in ("spec.json", "summary.json", "metrics.jsonl"):
        (other / name).write_bytes((run.path / name).read_bytes())
    page = read_page(report(run.path, other, output=tmp_path / "page.html").path.read_text("utf-8"))
    assert "runs/same" in page.text
    assert "elsewhere/same" in page.text
    assert "Their specs say the same." in page.text


def test_what_is_no_run_is_told(make_run, tmp_path: Path):
    with pytest.raises(UserError, match="no run directory is given"):
        report()
    with pytest.raises(UserError, match="this is not a run directory"):
        report(make_run().path, tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        report(make_run("a").path, make_run("b").path, output=tmp_path / "no" / "page.html")
