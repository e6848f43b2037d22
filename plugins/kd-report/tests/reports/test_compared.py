from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

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


def _measured(run, student: dict, teacher: dict | None, test: dict | None = None):
    """The run, with other measures."""
    summary = run.summary()
    plain = {"model": "resnet10t", "parameters": 78_042, "top1": None}
    summary["student"] = {**plain, **student}
    summary["teacher"] = (
        None if teacher is None else {"model": "resnet34", "parameters": 21_300_000, **teacher}
    )
    if test is not None:
        summary["test"] = {"split": "test", "size": 500, "student": test}
    run.write_summary(summary)
    return run


def test_several_labels_are_compared_by_map_with_the_test_beside_it(make_run, read_page):
    labels = {"task": {"kind": "labels"}}
    mld = _measured(
        make_run("mld", distiller={"name": "mld"}, **labels),
        {"map": 75.0, "best_map": 76.0, "micro_f1": 60.0, "agreement": 88.0},
        {"map": 90.0, "micro_f1": 70.0},
        {"map": 74.25, "micro_f1": 61.0},
    )
    alone = _measured(make_run("alone", teacher=False, **labels), {"map": 60.0, "micro_f1": 55.0}, None)
    page = read_page(report(mld.path, alone.path).path.read_text("utf-8"))
    assert "Highest mAP of the student: 75.00 %, mld." in page.text
    assert "parameters mAP test best teacher gap closed" in page.text
    # gap closed: (75 - 60) / (90 - 60)
    assert "mld mld resnet10t 78 k 75.00 % 74.25 % 76.00 % 90.00 % 50.0 % 88.0 %" in page.text
    assert "top-1 of the runs" not in page.text


def test_encoders_and_runs_without_labels_have_their_own_measures(make_run, read_page):
    encoder = _measured(make_run("encoder"), {"knn_top1": 81.0}, {"knn_top1": 85.0})
    plain = _measured(make_run("plain", labelled=False), {"agreement": 66.0}, {"top1": None})
    nothing = _measured(make_run("nothing", labelled=False), {}, None)
    page = read_page(report(encoder.path, plain.path, nothing.path).path.read_text("utf-8"))
    assert "Highest k-NN top-1 of the student: 81.00 %, encoder." in page.text
    assert "Highest agreement of the student: 66.00 %, plain." in page.text
    assert page.text.index("encoder dkd") < page.text.index("plain dkd") < page.text.index("nothing dkd")
    page = read_page(report(nothing.path, nothing.path).path.read_text("utf-8"))
    assert "No student was measured." in page.text


def test_links_to_folders_with_letters_of_addresses(make_run, read_page, tmp_path: Path):
    names = ("50 % of #1?", "a:b", "Ä")
    runs = [make_run(name) for name in names]
    for run in runs:
        run.report.write_text("its own")
    made = report(*(run.path for run in runs), output=tmp_path / "runs" / "page.html")
    page = read_page(made.path.read_text("utf-8"))
    assert not any(set("#?: ") & set(link) for link in page.links)
    assert sorted(unquote(link) for link in page.links) == sorted(f"{name}/report.html" for name in names)


def test_the_epochs_of_a_run_that_is_in_progress(make_run, read_page, tmp_path: Path):
    runs = [make_run("done"), make_run("going", epochs=5)]
    (runs[1].path / "summary.json").unlink()
    page = read_page(
        report(*(run.path for run in runs), output=tmp_path / "page.html").path.read_text("utf-8")
    )
    assert "5, unfinished" in page.text


def test_a_number_of_images_is_for_one_run(make_run):
    with pytest.raises(UserError, match="--images: the page of several runs looks at no images"):
        report(make_run("a").path, make_run("b").path, images=10)
    with pytest.raises(UserError, match="--images: must be at least 1"):
        report(make_run("a").path, images=0)
