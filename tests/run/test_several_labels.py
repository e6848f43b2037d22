"""Runs with several labels an image: pairs of digits, from the table to predictions, measures and exports."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from kd_export import export, predict
from kd_report import evaluate
from safetensors.torch import load_file

from kdcore import UserError, open_run, run, validate
from kdcore.inspect import label_scores

pytest.importorskip("sklearn", reason="the digits need scikit-learn")

SMALL = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16], "stem_width": 8}}
CHANGES = {"train": 32, "val": 16, "test": 16}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder of pairs of the digits 0 to 4, and the rows of a table of them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("pairs")
    found = load_digits(n_class=5)
    rng = np.random.default_rng(0)
    rows = []
    for split, count in CHANGES.items():
        for number in range(count):
            pair = rng.choice(len(found.images), 2)
            pixels = np.hstack([found.images[one] * 15.9 for one in pair]).astype(np.uint8)
            name = f"{split}-{number}.png"
            Image.fromarray(pixels).resize((32, 16)).save(folder / name)
            rows.append(
                {"path": name, "label": sorted({f"d{found.target[one]}" for one in pair}), "split": split}
            )
    return folder, rows


@pytest.fixture(scope="module")
def make_spec(pairs, tmp_path_factory):
    folder, rows = pairs
    here = tmp_path_factory.mktemp("specs")

    def write(name="several", unlabelled=0, **changes):
        lines = [dict(row, label=None) if n < unlabelled else row for n, row in enumerate(rows)]
        table = here / f"{name}.jsonl"
        table.write_text("".join(json.dumps(line) + "\n" for line in lines))
        data = {"dataset": str(table), "root": str(folder), "eval_split": "val", "test_split": "test"}
        data |= {"image_size": [8, 16], "workers": 0, "options": {"empty": "unlabelled"}}
        return {
            "name": name,
            "output": str(here / "runs"),
            "data": {**data, **changes.pop("data", {})},
            "task": {"kind": "labels", **changes.pop("task", {})},
            "teacher": SMALL,
            "student": SMALL,
            "distiller": "mld",
            "train": {"epochs": 2, "batch_size": 8, **changes.pop("train", {})},
            "optimizer": {"lr": 0.01},
            "report": False,
            **changes,
        }

    return write


@pytest.fixture(scope="module")
def done(make_spec):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(make_spec())


def test_what_is_measured(done):
    student, tested = done.summary["student"], done.summary["test"]["student"]
    assert (student["top1"], student["top5"], done.summary["data"]["task"]) == (None, None, "labels")
    measures = {"map", "micro_f1", "macro_f1", "micro_precision", "macro_recall", "exact_match"}
    for found in (student, tested, done.summary["teacher"]):
        assert measures <= set(found)
    assert {"tuned_micro_f1", "tuned_macro_f1", "thresholds"} <= set(student)
    assert {"tuned_micro_f1", "tuned_macro_f1"} <= set(tested)
    assert len(student["thresholds"]) == 5
    assert set(student["intervals"]) >= {"micro_f1", "exact_match"}
    assert student["best_map"] == max(record["eval"]["map"] for record in done.metrics)
    assert done.metrics[0]["train"] == {"top1": None, "top5": None}
    rows = list(csv.DictReader((done.directory / "classes.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == ["d0", "d1", "d2", "d3", "d4"]
    assert "mAP" in repr(done)
    assert "mAP" in done._repr_html_()


def test_the_test_is_measured_with_the_thresholds_of_the_evaluation_images(done):
    opened = open_run(done.directory, data=spec_data(done, eval_split="test"))
    student, _ = opened.predictions
    given = torch.tensor(done.summary["student"]["thresholds"], dtype=torch.float64)
    wanted = label_scores(student.logits, student.target, thresholds=given, resamples=0).overall
    tested = done.summary["test"]["student"]
    for name in ("map", "micro_f1", "tuned_micro_f1", "tuned_macro_f1"):
        assert tested[name] == pytest.approx(wanted[name])


def spec_data(done, **changes):
    return open_run(done.directory).spec.data.model_copy(update=changes)


@pytest.mark.filterwarnings("ignore")
def test_a_stopped_run_goes_on_to_the_same_student(make_spec, done):
    paused = run(make_spec("paused"), until=1)
    assert paused.summary["status"] == "paused"
    again = run(make_spec("paused"))
    for name, value in load_file(done.directory / "student" / "model.safetensors").items():
        torch.testing.assert_close(
            value, load_file(again.directory / "student" / "model.safetensors")[name], rtol=0, atol=0
        )
    assert again.summary["student"]["thresholds"] == done.summary["student"]["thresholds"]


@pytest.mark.filterwarnings("ignore")
def test_everything_that_goes_with_it_trains(make_spec):
    found = run(
        make_spec(
            "more",
            unlabelled=8,
            data={"mixup": 0.0, "labelled_fraction": 0.5, "augment": {"hflip": 0.0}},
            task={"loss": "focal", "pos_weight": "balanced", "label_smoothing": 0.1, "weight": 1.0},
            train={"epochs": 1, "metric": "macro_f1", "keep": "best", "ema": 0.9},
            distiller=["mld", "fitnet"],
        )
    )
    assert found.summary["data"]["train_labelled"] == 24
    assert "best_macro_f1" in found.summary["student"]
    mixed = run(make_spec("mixed", data={"mixup": 0.5, "cutmix": 1.0}, train={"epochs": 1}))
    assert mixed.summary["status"] == "finished"


@pytest.mark.filterwarnings("ignore")
def test_a_student_learns_from_images_without_labels(make_spec, done, pairs, tmp_path):
    folder, rows = pairs
    (tmp_path / "photos").mkdir()
    for row in rows[:16]:
        (tmp_path / "photos" / row["path"]).write_bytes((folder / row["path"]).read_bytes())
    data = {"dataset": str(tmp_path / "photos"), "root": None, "train_split": "", "eval_split": None}
    found = run(
        make_spec(
            "photos",
            data={**data, "test_split": None, "options": {}},
            task={"weight": 0},
            teacher={"checkpoint": str(done.directory)},
            train={"epochs": 1},
        )
    )
    student = found.summary["student"]
    assert student["agreement"] is not None
    assert "map" not in student


def partly_table(pairs, folder):
    """The pairs with a column for each label; of every third image one label is not known."""
    _, rows = pairs
    names = sorted({name for row in rows for name in row["label"]})
    lines = [",".join(["path", "split", *names])]
    for number, row in enumerate(rows):
        cells = [str(int(name in row["label"])) for name in names]
        if number % 3 == 0:
            cells[number % len(names)] = ""
        lines.append(",".join([row["path"], row["split"], *cells]))
    table = folder / "partly.csv"
    table.write_text("\n".join(lines))
    return str(table)


@pytest.mark.filterwarnings("ignore")
def test_labels_that_are_not_known_are_left_out_and_named(make_spec, pairs, tmp_path, capsys):
    table = {"dataset": partly_table(pairs, tmp_path), "options": {"labels": "*", "empty": "unlabelled"}}
    spec = make_spec("partly", data=table, task={"pos_weight": "balanced"}, distiller=["mld", "fitnet"])
    spec["task"]["weight"] = 1.0
    report = validate(spec)
    told = [text for text in report.warnings if "only some labels are known" in text]
    assert len(told) == 3  # of each split
    assert "of 11 of 32 images" in told[0]
    found = run(spec)
    student = found.summary["student"]
    assert {"map", "micro_f1", "exact_match", "tuned_macro_f1", "thresholds"} <= set(student)
    opened = open_run(found.directory)
    logits, target = opened.predictions[0].logits.double(), opened.predictions[0].target
    known = target >= 0
    assert 0 < int((~known).sum()) == 5
    right = ((logits > 0) & (target == 1)).sum()
    f1 = 200 * right / (((logits > 0) & known).sum() + (target == 1).sum())
    assert student["micro_f1"] == pytest.approx(float(f1))
    exact = (((logits > 0) == (target == 1)) | ~known).all(dim=1)
    assert student["exact_match"] == pytest.approx(100 * float(exact.double().mean()))
    with pytest.raises(UserError, match="only some labels of some training images are known"):
        validate({**spec, "data": {**spec["data"], "mixup": 0.5}})


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"distiller": "dkd"}, "distiller", "distiller 'dkd' is for images of one class each"),
        ({"task": {"loss": "cross-entropy"}}, "task.loss", "cross-entropy is for one class an image"),
        ({"task": {"class_weights": "balanced"}}, "task.class_weights", "are for one class an image"),
        ({"task": {"top_k": [3]}}, "task.top_k", "top-k accuracy is for images of one class"),
        ({"data": {"sampling": "balanced"}}, "data.sampling", "draws the classes equally often"),
        ({"train": {"metric": "top1"}}, "train.metric", "no evaluation of this run has a measure"),
        ({"task": {"kind": "classes"}}, "task.kind", "have several labels each"),
        ({"task": {"kind": "classes", "pos_weight": "balanced"}}, "task.pos_weight", "is for several labels"),
        (
            {"student": {**SMALL, "classifier": False}, "distiller": "fitnet"},
            "student.classifier",
            "neighbours",
        ),
    ],
)
def test_what_does_not_go_with_it(make_spec, changes, where, message):
    with pytest.raises(UserError) as caught:
        validate(make_spec("wrong", **changes))
    found = [problem for problem in caught.value.problems if problem.where == where]
    assert found, caught.value.problems
    assert message in found[0].message


def test_images_of_one_class_are_not_several_labels(spec_file):
    with pytest.raises(UserError) as caught:
        validate(spec_file(task={"kind": "labels"}, distiller="mld"))
    (found,) = caught.value.problems
    assert (found.where, found.allowed) == ("task.kind", "classes")


def test_the_distillers_that_work_are_named(make_spec):
    with pytest.raises(UserError) as caught:
        validate(make_spec("wrong", distiller="kd"))
    allowed = caught.value.problems[0].allowed
    assert "mld" in allowed
    assert "fitnet" in allowed
    assert " dist," not in allowed


def test_predictions(done, pairs, tmp_path):
    folder, rows = pairs
    files = [folder / row["path"] for row in rows if row["split"] == "test"]
    for name in ("labels.jsonl", "labels.csv"):
        predict(done.directory, files, tmp_path / name, probabilities=True)
    found = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    predictor = done.predictor()
    chances = predictor.predict_proba(files)
    assert (
        predictor.predict(files).tolist()
        == (chances > done.summary["student"]["thresholds"]).astype(int).tolist()
    )
    for row, chance in zip(found, chances, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(chance.tolist())
        wanted = [f"d{k}" for k in range(5) if chance[k] > done.summary["student"]["thresholds"][k]]
        assert row["labels"] == wanted
    table = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    assert [json.loads(row["labels"]) for row in table] == [row["labels"] for row in found]
    for flag, given in (("--top", {"top": 2}), ("--organize", {"organize": tmp_path / "sorted"})):
        with pytest.raises(UserError, match="any number of labels") as caught:
            predict(done.directory, files, tmp_path / "no.csv", **given)
        assert caught.value.problems[0].where == flag


def test_an_export_on_named_data_has_the_thresholds_of_its_run(done, tmp_path):
    path = export(done.directory, "torch", samples=0, output=tmp_path / "shipped").path
    data = json.loads((done.directory / "spec.json").read_text())["data"]
    images = {"data": data["dataset"], "root": data["root"], "split": "test"}
    found = evaluate(path, **images, table_options={"empty": "unlabelled"}, batch_sizes=())
    wanted = evaluate(done.directory, split="test", batch_sizes=())
    for name in ("map", "micro_f1", "tuned_micro_f1", "tuned_macro_f1"):
        assert found.student.scores[name] == pytest.approx(wanted.student.scores[name])
    with pytest.raises(UserError, match="images have several labels"):
        evaluate(done.directory, top_k=(2,), batch_sizes=())


def test_evaluation(done):
    found = evaluate(done.directory, batch_sizes=())
    assert found.student.top1 is None
    for name in ("map", "micro_f1", "tuned_macro_f1"):
        assert found.student.scores[name] == pytest.approx(done.summary["student"][name])
    assert {"map", "micro_f1"} <= set(found.teacher.scores)
    assert "tuned_micro_f1" not in found.teacher.scores  # its own thresholds are not known
    assert found.agreement == pytest.approx(done.summary["student"]["agreement"])
    assert [row["class"] for row in found.student.per_class] == ["d0", "d1", "d2", "d3", "d4"]
