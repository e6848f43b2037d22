"""Runs with `task.kind: "none"`: labels are not read, and nothing is measured by them."""

from __future__ import annotations

import json
import tarfile
import warnings

import numpy as np
import pytest
import torch
from kd_report import evaluate
from PIL import Image

from kdcore import Distillation, UserError, open_run, run, validate
from kdcore.data import open_split
from kdcore.inspect import data_facts
from kdcore.plugins import get_plugins
from kdcore.spec.models import DataSpec

SMALL = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16], "stem_width": 8}}
IMAGES = ("1.png", "2.png", "a/3.png", "a/deep/4.png", "b/5.png", "b/6.png", "b/7.png", "c/8.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with images beside folders, as a camera leaves them, in two splits; and a table of them with labels."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    rows = ["path,split,label"]
    for split in ("train", "test"):
        for name in IMAGES:
            file = folder / split / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
            rows.append(f"{folder.name}/{split}/{name},{split},{'cat' if len(rows) % 2 else 'dog'}")
    (folder.parent / "photos.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def make_spec(photos, tmp_path_factory):
    here = tmp_path_factory.mktemp("runs")

    def write(name="plain", **changes):
        data = {"dataset": str(photos), "num_classes": 4, "image_size": 16, "workers": 0}
        return {
            "name": name,
            "output": str(here),
            "data": {**data, **changes.pop("data", {})},
            "task": {"kind": "none", **changes.pop("task", {})},
            "teacher": SMALL,
            "student": SMALL,
            "distiller": "kd",
            "train": {"epochs": 2, "batch_size": 4, **changes.pop("train", {})},
            "optimizer": {"lr": 0.01},
            "report": False,
            **changes,
        }

    return write


@pytest.fixture(scope="module")
def done(make_spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(make_spec(train={"keep": "best", "patience": 2}))


def test_the_agreement_with_the_teacher_is_measured_and_decides(done):
    student, record = done.summary["student"], done.metrics[0]
    assert done.summary["data"]["task"] == "none"
    assert (done.summary["data"]["train_size"], done.summary["data"]["eval_size"]) == (len(IMAGES),) * 2
    assert (student["top1"], student["top5"]) == (None, None)
    assert set(record["eval"]) == {"agreement"}
    assert student["best_agreement"] == max(one["eval"]["agreement"] for one in done.metrics)
    assert record["task_loss"] == 0
    assert set(record["terms"]) == {"kd"}
    assert "agreement" in repr(done)


def test_predictions_and_measures_afterwards(done, photos):
    opened = open_run(done.directory)
    assert (opened.predictions[0].target < 0).all()
    found = evaluate(done.directory, teacher=True).as_dict()
    assert found["student"]["top1"] is None
    assert found["agreement"] == pytest.approx(done.summary["student"]["agreement"])
    data = opened.spec.data.model_copy(
        update={"dataset": str(photos.parent / "photos.csv"), "num_classes": None}
    )
    labelled = open_run(done.directory, data=data)  # another dataset: its labels are read
    assert set(labelled.predictions[0].target.tolist()) == {0, 1}


@pytest.mark.parametrize("kind", ["folder", "tar", "table"])
def test_folders_are_not_classes_and_labels_are_not_read(photos, tmp_path, kind):
    dataset = {"folder": photos, "tar": tmp_path / "photos.tar", "table": photos.parent / "photos.csv"}[kind]
    if kind == "tar":
        with tarfile.open(dataset, "w") as tar:
            tar.add(photos, arcname="photos")
    data = DataSpec(dataset=str(dataset))
    source = open_split(data, "train", plugins=get_plugins(), where="data.train_split", labels=False)
    assert sorted(source.short_name(index).partition("train/")[2] for index in range(len(source))) == sorted(
        IMAGES
    )
    assert (source.classes, source.num_classes, source.labelled) == (None, None, False)
    assert source.labels.tolist() == [-1] * len(IMAGES)
    assert {source[index][1] for index in range(len(source))} == {-1}


def test_a_part_can_be_held_out_and_looked_at(photos):
    data = DataSpec(dataset=str(photos), train_split="train", eval_fraction=0.25)
    facts = data_facts(data, get_plugins(), labels=False)
    assert [(one.role, one.images, one.labelled, one.classes) for one in facts.splits] == [
        ("train", 6, 0, {}),
        ("eval", 2, 0, {}),
    ]


def test_a_registered_dataset_and_an_encoder(make_spec):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    encoder = {**SMALL, "classifier": False}
    spec = make_spec(
        "encoder",
        data={"dataset": "digits", "num_classes": None, "train_samples": 16, "eval_samples": 24},
        teacher=encoder,
        student=encoder,
        distiller="rkd",
        train={"epochs": 1, "metric": "neighbour_agreement"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run(spec).summary
    assert found["student"]["neighbour_agreement"] is not None
    assert (found["student"]["knn_top1"], found["student"]["probe_top1"]) == (None, None)


def test_the_student_gets_the_class_names_of_its_teacher(make_spec, photos):
    table = str(photos.parent / "photos.csv")
    own = {
        "data": {"dataset": table, "num_classes": None},
        "task": {"kind": "classes"},
        "distiller": "vanilla",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        teacher = run(make_spec("teacher", **own, train={"epochs": 1}))
        student = run(
            make_spec("taught", data={"num_classes": None}, teacher={"checkpoint": str(teacher.directory)})
        )
    config = json.loads((student.directory / "student" / "config.json").read_text())
    assert config["label_names"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"task": {"loss": "bce"}}, "task.loss", "there is no task loss"),
        ({"task": {"label_smoothing": 0.1}}, "task.label_smoothing", "there is no task loss"),
        ({"task": {"class_weights": "balanced"}}, "task.class_weights", "there is no task loss"),
        ({"task": {"pos_weight": "balanced"}}, "task.pos_weight", "there is no task loss"),
        ({"task": {"weight": 0.5}}, "task.weight", "there is no task loss"),
        ({"task": {"top_k": [3]}}, "task.top_k", "no top-k accuracy"),
        ({"data": {"sampling": "balanced"}}, "data.sampling", "shuffled, weights"),
        ({"data": {"labelled_fraction": 0.5}}, "data.labelled_fraction", "no image counts as labelled"),
        ({"train": {"metric": "top1"}}, "train.metric", "allowed: agreement, or null"),
        ({"metrics": ["no-such"]}, "metrics[0]", "no-such"),
        ({"distiller": "dkd"}, "distiller", "reads labels"),
        ({"distiller": "dkd"}, "distiller", "dist, "),
        ({"distiller": "dml"}, "distiller", "the teacher of distiller 'dml' learns from labels"),
        ({"distiller": "vanilla"}, "distiller", "learns from the distiller alone"),
        (
            {"teacher": None, "distiller": "skd", "train": {"keep": "best"}},
            "train.keep",
            "nothing is measured",
        ),
        ({"teacher": {**SMALL, "learns": True}}, "teacher.learns", "needs the task loss"),
    ],
)
def test_what_needs_labels_is_refused(make_spec, changes, where, words):
    with pytest.raises(UserError) as caught:
        validate(make_spec(**changes))
    found = {problem.where: str(problem) for problem in caught.value.problems}
    assert words in found[where]


def test_columns_of_labels_are_refused(make_spec, photos):
    table = {"dataset": str(photos.parent / "photos.csv"), "options": {"label": "label"}}
    with pytest.raises(UserError, match=r"data\.options\.label"):
        validate(make_spec(data=table))


def test_the_number_of_classes_must_be_known(make_spec):
    with pytest.raises(UserError, match="number of classes"):
        validate(make_spec(data={"num_classes": None}))


def test_in_a_loop_of_your_own_no_target_is_read():
    layers = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4)) for _ in range(2)]
    made = Distillation(*layers, "kd", num_classes=4, image_size=4, task="none")
    out = made(torch.randn(2, 3, 4, 4), torch.tensor([7, 7]))  # no such class, and nobody looks
    assert out.task_loss == 0
    assert out.loss == out.terms["kd"]
    with pytest.raises(UserError, match="reads labels"):
        Distillation(*layers, "dkd", num_classes=4, image_size=4, task="none")
    with pytest.raises(ValueError, match="no task loss"):
        Distillation(*layers, "kd", num_classes=4, image_size=4, task="none", task_weight=1.0)
