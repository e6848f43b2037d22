from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kdcore import RunResult, UserError, run, validate
from kdcore.rundir.summary import CLASS_MEASURES


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run whose best epoch is the one with the highest macro F1."""
    folder = tmp_path_factory.mktemp("ranked")
    path = folder / "ranked.json"
    path.write_text(json.dumps(SPEC | {"train": TRAIN | {"metric": "macro_f1", "keep": "best"}}))
    return run(path, quiet=True)


TRAIN = {"epochs": 3, "batch_size": 64}
SPEC = {
    "data": {"dataset": "digits", "image_size": 16, "train_samples": 256, "eval_samples": 100, "workers": 0},
    "student": {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}},
    "distiller": "vanilla",
    "task": {"top_k": [3]},
    "train": TRAIN,
}


def test_the_metric_decides_which_epoch_is_kept(ranked: RunResult):
    scores = [record["eval"]["macro_f1"] for record in ranked.metrics]
    student = ranked.summary["student"]
    assert student["best_epoch"] == student["epoch"] == scores.index(max(scores)) + 1
    assert student["macro_f1"] == student["best_macro_f1"] == max(scores)
    assert student["best_top1"] == ranked.metrics[student["epoch"] - 1]["eval"]["top1"]


def test_what_an_epoch_and_the_end_have_measured(ranked: RunResult):
    for record in ranked.metrics:
        found = record["eval"]
        assert set(CLASS_MEASURES) | {"top3"} <= set(found)
        assert found["top1"] <= found["top3"] <= found["top5"]
        assert found["weighted_recall"] == pytest.approx(found["top1"])
    student = ranked.summary["student"]
    for name, (low, high) in student["intervals"].items():
        assert low <= student[name] <= high, name
    assert {"top1", "top3", "top5", "macro_f1"} <= set(student["intervals"])
    assert 0 < student["map"] <= 100


def test_the_measures_of_each_class_are_a_table(ranked: RunResult):
    with (Path(ranked.directory) / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [str(k) for k in range(10)]
    assert sum(int(row["images"]) for row in rows) == 100
    for row in rows:
        for name in ("precision", "recall", "f1"):
            if row[f"{name}_low"]:  # empty for a class that no image gets
                assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])
    assert rows[0]["recall_low"]
    mean = sum(float(row["recall"]) for row in rows) / 10
    assert mean == pytest.approx(ranked.summary["student"]["balanced_accuracy"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"metric": "macro-f1"}}, r"train\.metric: .*nearest: macro_f1|did you mean.*macro_f1"),
        ({"train": {"metric": "agreement"}}, "no evaluation of this run has a measure of this name"),
        ({"train": {"metric": "top1"}, "data": {"eval_split": None}}, "data.eval_split is null"),
        ({"task": {"top_k": [10]}}, "with 10 classes the top-10 accuracy of every model is 100 %"),
        ({"task": {"top_k": [0]}}, "task.top_k"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, changes: dict[str, dict[str, object]], message: str
):
    spec = {**SPEC, **{name: {**SPEC.get(name, {}), **part} for name, part in changes.items()}}  # type: ignore[dict-item]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(UserError, match=message):
        validate(path)
