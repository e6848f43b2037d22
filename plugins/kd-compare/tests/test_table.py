from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from kd_compare.table import for_terminal, to_csv, to_latex, to_markdown

SCORES = {"vanilla": [50.0, 52.0, 54.0], "kd_t=2": [53.0, 56.0, 59.0], "dkd": [49.0, 50.0, 51.5]}


def test_markdown_has_the_best_first_and_in_bold(make_result):
    lines = to_markdown(make_result(SCORES)).splitlines()
    assert lines[0] == (
        "| method | top-1 % | gain over vanilla | agreement % | images/s | extra parameters | time of a run | runs |"
    )
    # differences 3, 4, 5: 4.3027 / sqrt(3) = 2.484
    assert lines[2] == "| **kd_t=2** | **56.00 ± 3.00** | +4.00 ± 2.48 | 80.00 | 1,234 | 1,000 | 1:01 | 3/3 |"
    assert lines[3].startswith("| vanilla | 52.00 ± 2.00 | baseline |")
    assert lines[4].startswith("| dkd | 50.17 ± 1.26 | -1.83 ± 1.90 |")
    assert "95 % confidence interval of the mean difference, paired by seed, Student's t" in lines[-1]


def test_latex_is_booktabs_with_everything_escaped(make_result):
    text = to_latex(make_result(SCORES))
    assert r"kd\_t=2 & \textbf{56.00 $\pm$ 3.00} & +4.00 $\pm$ 2.48 & 1,234 & 1,000 \\" in text
    assert r"dkd & 50.17 $\pm$ 1.26 & $-$1.83 $\pm$ 1.90" in text
    assert text.count(r"\textbf") == 1
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    assert r"95 \% confidence" in text


def test_csv_is_unrounded(make_result):
    rows = list(csv.DictReader(io.StringIO(to_csv(make_result(SCORES)))))
    assert [row["method"] for row in rows] == ["kd_t=2", "vanilla", "dkd"]
    assert float(rows[2]["score"]) == pytest.approx(150.5 / 3)
    assert float(rows[2]["gain_low"]) < float(rows[2]["gain"]) < float(rows[2]["gain_high"])
    assert rows[1]["gain"] == ""


def test_one_seed_is_told_without_an_interval(make_result):
    result = make_result({"vanilla": [50.0], "kd": [51.0]})
    text = to_markdown(result)
    assert "| **kd** | **51.00** | +1.00 (one seed: no interval) |" in text
    assert "kd & \\textbf{51.00} & +1.00 & " in to_latex(result)
    assert "One seed." in text


def test_what_was_dropped_and_what_failed_is_told(make_result):
    result = make_result(SCORES)
    gone = replace(
        result.methods[2],
        status="dropped",
        finished=0,
        score=None,
        std=None,
        gain=None,
        dropped_after=1,
        dropped_at=31.5,
    )
    failed = replace(result.runs[0], status="failed", error="the disk is full")
    result = replace(
        result,
        methods=(*result.methods[:2], gone),
        runs=(failed, *result.runs[1:]),
        budget={"rungs": [1], "eta": 2},
        epochs_trained=21,
    )
    text = for_terminal(result)
    assert "dropped after epoch 1 at 31.50" in text
    assert "1/2 of the methods continue after epoch 1 of 3" in text
    assert "21 epochs were trained, of 27 without the budget." in text
    assert "vanilla, seed 0: the disk is full" in text
    assert "dkd & 31.50 after epoch 1 & dropped & " in to_latex(result)
    assert "- vanilla, seed 0: the disk is full" in to_markdown(result)


def test_without_labels_the_agreement_is_the_score(make_result):
    result = make_result({"kd": [70.0, 71.0]}, metric="agreement")
    header, _, row = to_markdown(result).splitlines()[:3]
    assert header.startswith("| method | agreement % | gain | images/s |")
    assert row.startswith("| **kd** | **70.50 ± 0.71** | n/a | 1,234 |")


def test_a_method_without_a_time(make_result):
    result = make_result({"kd": [70.0]})
    rows = tuple(replace(row, wall_seconds=None) for row in result.methods)
    assert " n/a | 1/1 |" in to_markdown(replace(result, methods=rows))


def test_a_narrow_terminal_has_the_columns_that_matter(make_result):
    result = make_result(SCORES)
    whole = for_terminal(result).splitlines()
    narrow = for_terminal(result, width=60).splitlines()
    assert max(map(len, narrow[:4])) <= 60
    assert " ".join(narrow[0].split()) == "method top-1 % gain over vanilla agreement % runs"
    assert narrow[-1] == "No room for time of a run, extra parameters, images/s: see comparison.html."
    assert for_terminal(result, width=len(whole[0])).splitlines() == whole


def test_the_test_split_has_a_column_if_there_is_one(make_result):
    result = make_result(SCORES)
    assert "test" not in for_terminal(result)
    tested = replace(result, methods=tuple(replace(row, test_score=48.125) for row in result.methods))
    assert "test top-1 %" in for_terminal(tested)
    assert "| 48.12 |" in to_markdown(tested)
    assert {row["test_score"] for row in csv.DictReader(io.StringIO(to_csv(tested)))} == {"48.125"}
