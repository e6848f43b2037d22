"""docs/everyday.md: its tables are those of its records, and what it says of them holds."""

from __future__ import annotations

import json
import statistics
import tomllib

import pytest


@pytest.fixture(scope="module")
def everyday(docs_script):
    """docs/everyday.py."""
    return docs_script("everyday")


@pytest.fixture(scope="module")
def records(everyday):
    return json.loads(everyday.RECORDS.read_text("utf-8"))


def test_the_tables_are_those_of_the_records(everyday, records):
    page = everyday.PAGE.read_text("utf-8")
    assert everyday.with_tables(page, records) == page
    assert set(records) == set(everyday.TABLES)


def test_the_records_are_those_of_the_comparisons(root, records):
    for name, record in records.items():
        folder = root / "examples" / name
        comparison = tomllib.loads((folder / "compare.toml").read_text("utf-8"))
        wanted = {"vanilla"} if "baseline" not in comparison else set()
        wanted |= {variant["label"] for variant in comparison["variants"]}
        runs = {(run["method"], run["seed"]) for run in record["runs"]}
        assert runs == {(method, seed) for method in wanted for seed in range(comparison["seeds"])}
        assert {run["status"] for run in record["runs"]} == {"finished"}
        assert str(folder.relative_to(root) / "compare.toml") in record["command"]
        spec = json.loads((folder / comparison["spec"]).read_text("utf-8"))
        assert record["epochs"] == spec["train"]["epochs"]


def test_balanced_sampling_and_class_weights_help_rare_classes(everyday, records):
    found = {
        name: everyday.values(records["rare-classes"], name, "macro_f1")
        for name in ("vanilla", "balanced-sampling", "class-weights")
    }
    for name in ("balanced-sampling", "class-weights"):
        gains = [own - other for own, other in zip(found[name], found["vanilla"], strict=True)]
        assert min(gains) > 0
        assert statistics.mean(gains) >= 10


def test_distillation_with_several_labels_beats_the_student_alone(everyday, records):
    for measure in ("map", "micro_f1", "exact_match"):
        alone, distilled = (
            everyday.values(records["label-pairs"], name, measure, "test_scores")
            for name in ("vanilla", "mld-1")
        )
        assert all(own > other for own, other in zip(distilled, alone, strict=True)), measure
