from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from kd_compare.statistics import Gain
from kd_compare.table import for_terminal, to_csv, to_latex, to_markdown

SCORES = {"vanilla": [50.0, 52.0, 54.0], "kd_t=2": [53.0, 56.0, 59.0], "dkd": [49.0, 50.0, 51.5]}
CLEAR = {"vanilla": [50.0, 52.0, 54.0], "kd_t=2": [56.0, 58.5, 60.5], "dkd": [49.0, 50.0, 51.5]}


def test_markdown_has_the_highest_mean_first(make_result):
    lines = to_markdown(make_result(SCORES)).splitlines()
    assert lines[0] == (
        "| method | top-1 % | gain over vanilla | agreement % | images/s | extra parameters | time of a run | runs |"
    )
    # differences 3, 4, 5; t at 1 - 0.05 / 2 is 6.2053: 6.2053 / sqrt(3) = 3.583
    assert lines[2] == "| kd_t=2 | 56.00 ± 3.00 | +4.00 ± 3.58 | 80.00 | 1,234 | 1,000 | 1:01 | 3/3 |"
    assert lines[3].startswith("| vanilla | 52.00 ± 2.00 | baseline |")
    assert lines[4].startswith("| dkd | 50.17 ± 1.26 | -1.83 ± 2.74 |")
    assert (
        "95 % confidence intervals of the mean difference, paired by seed, Student's t, corrected for 2 methods "
        "(Bonferroni). "
    ) in lines[-1]


def test_one_method_alone_is_not_corrected(make_result):
    text = to_markdown(make_result({"vanilla": [50.0, 52.0, 54.0], "kd": [53.0, 56.0, 59.0]}))
    assert "+4.00 ± 2.48" in text
    assert (
        "paired by seed, Student's t. kd has the highest mean, and differs clearly from every other" in text
    )
    assert "corrected" not in text


def test_the_best_is_in_bold_if_it_differs_clearly_from_all_others(make_result):
    # from dkd: 7, 8.5 and 9, mean 8.17, half 1.0408 * 6.2053 / sqrt(3) = 3.73; from vanilla: 6, 6.5, 6.5
    result = make_result(CLEAR)
    assert "| **kd_t=2** | **58.33 ± 2.25** |" in to_markdown(result)
    assert to_latex(result).count(r"\textbf{58.33 $\pm$ 2.25}") == 1
    said = (
        "kd_t=2 has the highest mean, and differs clearly from every other method (intervals corrected for 2 "
    )
    assert said in for_terminal(result)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        # from dkd: 4, 6, 7.5, mean 5.83, half 6.31; from vanilla: 3, 4, 5, half 3.58
        (
            SCORES,
            "kd_t=2 has the highest mean; dkd does not differ clearly from it (intervals corrected for 2 ",
        ),
        (
            {"a": [50.0, 52.0], "b": [50.0, 52.0], "c": [49.0, 53.5]},
            "c has the highest mean; no other method differs clearly from it (intervals corrected for 2 methods).",
        ),
        (
            {"a": [50.0, 51.0], "b": [50.0, 51.5], "c": [50.0, 51.0], "d": [20.0, 21.5]},
            "b has the highest mean; a and c do not differ clearly from it (intervals corrected for 3 methods).",
        ),
        (
            {"a": [50.0, 52.0], "b": [51.0, 51.0]},
            "a has the highest mean; b does not differ clearly from it.",
        ),
        ({"a": [50.0], "b": [40.0]}, "One seed. Without intervals, no method is shown as the best."),
    ],
)
def test_nobody_is_in_bold_at_a_tie(make_result, scores, said):
    result = make_result(scores)
    for text in (to_markdown(result), to_latex(result)):
        assert "**" not in text
        assert "textbf" not in text
    assert said in for_terminal(result)


def test_a_seed_that_only_one_of_two_methods_has_shows_no_difference(make_result):
    result = make_result({"a": [50.0, 50.5], "b": [40.0, 40.5]})
    assert result.as_dict()["lead"] == {"highest": "a", "best": "a", "unclear": (), "others": 1}
    apart = [replace(run, seed=run.seed + 5) if run.method == "b" else run for run in result.runs]
    lead = replace(result, runs=tuple(apart)).as_dict()["lead"]
    assert lead == {"highest": "a", "best": None, "unclear": ("b",), "others": 1}


def test_latex_is_booktabs_with_everything_escaped(make_result):
    text = to_latex(make_result(SCORES))
    assert r"kd\_t=2 & 56.00 $\pm$ 3.00 & +4.00 $\pm$ 3.58 & 1,234 & 1,000 \\" in text
    assert r"dkd & 50.17 $\pm$ 1.26 & $-$1.83 $\pm$ 2.74" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    assert r"95 \% confidence" in text


def test_csv_is_unrounded(make_result):
    rows = list(csv.DictReader(io.StringIO(to_csv(make_result(SCORES)))))
    assert [row["method"] for row in rows] == ["kd_t=2", "vanilla", "dkd"]
    assert float(rows[2]["score"]) == pytest.approx(150.5 / 3)
    assert float(rows[2]["gain_low"]) < float(rows[2]["gain"]) < float(rows[2]["gain_high"])
    # t of 2 degrees of freedom at 0.9875 is 6.2053, at 0.975 4.3027
    wider = (float(rows[2]["gain_corrected_high"]) - float(rows[2]["gain"])) / (
        float(rows[2]["gain_high"]) - float(rows[2]["gain"])
    )
    assert wider == pytest.approx(6.20535 / 4.30265, rel=1e-5)
    assert list(rows[0])[-2:] == ["gain_corrected_low", "gain_corrected_high"]
    assert (rows[1]["gain"], rows[1]["gain_corrected_low"]) == ("", "")


def test_one_seed_is_told_without_an_interval(make_result):
    result = make_result({"vanilla": [50.0], "kd": [51.0]})
    text = to_markdown(result)
    assert "| kd | 51.00 | +1.00 (one seed: no interval) |" in text
    assert "kd & 51.00 & +1.00 & " in to_latex(result)
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
    assert row.startswith("| kd | 70.50 ± 0.71 | n/a | 1,234 |")


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
    assert "test gain" not in to_markdown(tested)


def test_the_gain_on_the_test_images_has_a_column_of_its_own(make_result):
    result = make_result(SCORES)
    gains = {"kd_t=2": Gain(2.0, 1.0, 3.0, 3, 0.5, 3.5), "dkd": Gain(-1.0, -2.0, 0.0, 3, -2.25, 0.25)}
    tested = replace(
        result,
        methods=tuple(
            replace(row, test_score=48.125, test_gain=gains.get(row.label)) for row in result.methods
        ),
    )
    lines = to_markdown(tested).splitlines()
    assert "| agreement % | test top-1 % | test gain over vanilla | images/s |" in lines[0]
    assert "| 48.12 | +2.00 ± 1.50 | 1,234 |" in lines[2]
    assert "| 48.12 | baseline | 1,234 |" in lines[3]
    assert "test gain over vanilla" in for_terminal(tested)
    text = to_latex(tested)
    assert r"Top-1 (\%) & Gain over vanilla & Test top-1 (\%) & Test gain over vanilla & Images/s" in text
    assert r"48.12 & $-$1.00 $\pm$ 1.25 & 1,234" in text
    assert text.count("tabular}{@{}lrrrrrr@{}}") == 1
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(to_csv(tested)))}
    assert (rows["dkd"]["test_gain_corrected_low"], rows["dkd"]["test_gain_high"]) == ("-2.25", "0.0")
