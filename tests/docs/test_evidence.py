"""docs/results/cifar10.md: its tables are those of its records, and the records show what the page says."""

from __future__ import annotations

import json

import pytest
from kd_compare.statistics import paired_gain


@pytest.fixture(scope="module")
def evidence(docs_script):
    """docs/evidence.py."""
    return docs_script("evidence")


@pytest.fixture(scope="module")
def records(evidence):
    return json.loads(evidence.RECORDS.read_text("utf-8"))


def test_the_tables_are_those_of_the_records(evidence, records):
    texts = [page.read_text("utf-8") for page in evidence.PAGES]
    assert [evidence.tables(text, records) for text in texts] == texts
    named = [
        {name for _, _, names, _ in evidence.TABLE.findall(text) for name in names.split(",")}
        for text in texts
    ]
    assert named[0] == set(records)  # nothing that was measured is left out
    assert named[1] <= named[0]
    assert named[1]


def test_every_run_has_finished_and_its_curve_ends_with_its_score(records):
    runs = [
        run
        for one in records.values()
        for method in one.get("methods", {}).values()
        for run in method["runs"]
    ]
    assert len(runs) >= 12
    for run in runs:
        assert (run["status"], run["curve"][-1]) == ("finished", run["validation"])
        assert 0 < run["test"] < 100


@pytest.mark.parametrize("name", ["few-labels-500", "few-labels-2000"])
def test_distillation_gains_where_few_images_have_a_label(evidence, records, name):
    methods = records[name]["methods"]
    base = evidence.scores_of(methods["alone"])
    gains = {
        name: evidence.gain(evidence.scores_of(method), base, len(methods) - 1)
        for name, method in methods.items()
        if name != "alone"
    }
    clear = {name for name, (middle, half) in gains.items() if middle > half}
    assert clear >= {"kd-srd", "kd", "dist", "srrl"}
    assert ("pkt" in clear) == (name == "few-labels-500")
    best, kd = (evidence.scores_of(methods[name]) for name in ("kd-srd", "kd"))
    assert all(best[seed] > kd[seed] for seed in base)
    for name, (middle, half) in gains.items():  # as `kd compare` computes them
        told = paired_gain(evidence.scores_of(methods[name]), base, len(gains))
        assert told is not None
        assert told.corrected_half is not None
        assert (middle, half) == pytest.approx((told.mean, told.corrected_half))


def test_with_all_labels_no_gain_is_clear(evidence, records):
    methods = records["full-resnet8"]["methods"]
    base = evidence.scores_of(methods["alone"])
    for name in ("kd", "dist"):
        middle, half = evidence.gain(evidence.scores_of(methods[name]), base, 2)
        assert abs(middle) < half
    assert {len(method["runs"]) for method in methods.values()} == {3}


def test_with_all_labels_a_larger_student_gains_nothing_clear(evidence, records):
    methods = records["full-resnet20"]["methods"]
    base, own = (evidence.scores_of(methods[name]) for name in ("alone", "kd"))
    assert sorted(base) == sorted(own) == [0, 1, 2]
    assert min(own[seed] - base[seed] for seed in base) > 0
    for name in sorted(set(methods) - {"alone"}):
        middle, half = evidence.gain(evidence.scores_of(methods[name]), base, len(methods) - 1)
        assert abs(middle) < half
    # the ResNet-8's values, which the page says do not carry over
    for name in methods:
        tuned = records[f"tune-resnet20-{name}"]
        scores = [trial["score"] for trial in tuned["trials"]]
        assert max(scores) - scores[3] > 4


def test_with_all_labels_a_mixer_gains_clearly_with_ofa(evidence, records):
    methods = records["full-mixer"]["methods"]
    base, own = (evidence.scores_of(methods[name]) for name in ("alone", "ofa"))
    assert sorted(base) == sorted(own) == [0, 1, 2]
    middle, half = evidence.gain(own, base, len(methods) - 1)
    assert middle > half
    assert min(own[seed] - base[seed] for seed in base) > 0.9


def test_costs_without_live_runs_have_no_columns_for_them(evidence, records):
    rows = evidence.costs_table(records, ["full-vit", "full-mixer"]).splitlines()
    assert "live" not in rows[0]
    assert {row.count("|") for row in rows} == {6}
    assert len(rows) == 2 + sum(len(records[name]["methods"]) for name in ("full-vit", "full-mixer"))


def test_a_pruned_network_keeps_what_its_weights_knew(evidence):
    records = json.loads(evidence.PRUNE_RECORDS.read_text("utf-8"))
    (page,) = evidence.PRUNE_PAGES
    text = page.read_text("utf-8")
    assert evidence.tables(text, records) == text
    (one,) = records.values()
    scores = {way: [run["validation"] for run in method["runs"]] for way, method in one["methods"].items()}
    assert {len(found) for found in scores.values()} == {3}
    for way in ("distilled", "fine-tuned"):
        assert min(scores[way]) > max(scores["scratch"])
    assert 0.2 < one["parameters"] / one["teacher"]["parameters"] < 0.3
    for number in (one["parameters"], one["teacher"]["parameters"]):
        assert f"{number:,}" in text
    assert f"{one['teacher']['top1']:.2f}" in text


def test_eight_bits(evidence):
    records = json.loads(evidence.EIGHT_RECORDS.read_text("utf-8"))
    (page,) = evidence.EIGHT_PAGES
    text = page.read_text("utf-8")
    assert evidence.tables(text, records) == text
    (one,) = records.values()
    assert {run["seed"] for run in one["runs"]} == {0, 1, 2}
    for run in one["runs"]:
        for to in ("onnx", "openvino"):  # an export of learned ranges predicts what the rounded student does
            assert abs(run["int8"][to] - run["int8"]["student"]) <= 0.4
            assert run["int8"]["same"][to] >= 0.99 * run["int8"]["images"]


def test_a_gain_by_hand(evidence):
    # differences 1, 2, 3: mean 2, deviation 1; two methods: Student's t at 1 - 0.05 / 4 with two degrees is 6.2053
    middle, half = evidence.gain({0: 11.0, 1: 22.0, 2: 33.0}, {0: 10.0, 1: 20.0, 2: 30.0}, 2)
    assert middle == pytest.approx(2.0)
    assert half == pytest.approx(6.2053 / 3**0.5, rel=1e-4)


def test_tuned_values_beat_the_papers_with_seeds_that_no_trial_had(evidence):
    records = json.loads(evidence.TUNE_RECORDS.read_text("utf-8"))
    (page,) = evidence.TUNE_PAGES
    text = page.read_text("utf-8")
    assert evidence.tables(text, records) == text
    ((_, _, names, _),) = evidence.TABLE.findall(text)
    assert names.split(",") == list(records) == ["dkd", "crd"]
    for one in records.values():
        assert len(one["trials"]) == 20
        assert one["trials"][one["best"]]["score"] == max(trial["score"] for trial in one["trials"])
        old, new = evidence.final_scores(one)
        assert len(old) == 3
        assert min(new.values()) > max(old.values())
