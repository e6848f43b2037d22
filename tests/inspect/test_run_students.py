from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore import UserError, load_student, run
from kdcore.inspect import open_run_student


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    data = {"dataset": "digits", "image_size": 16, "train_samples": 40, "eval_samples": 30, "workers": 0}
    spec: dict[str, Any] = {
        "name": "tiny",
        "output": str(tmp_path_factory.mktemp("students")),
        "data": data,
        "student": {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}},
        "distiller": "vanilla",
        "train": {"epochs": 2, "batch_size": 20},
    }
    return run(spec, quiet=True).directory


def test_it_is_the_runs_student(ran: Path):
    student = open_run_student(ran)
    images = student.example(3)
    assert images.shape == (3, 3, 16, 16)
    assert torch.equal(images, student.example(3))
    with torch.inference_mode():
        torch.testing.assert_close(student.model(images), load_student(ran).model(images))
    assert (student.name, student.num_classes, student.in_chans) == ("resnet10t", 10, 3)
    assert student.class_names == tuple(map(str, range(10)))
    assert (student.weights, student.epoch, student.finished) == ("last", 2, True)
    assert student.scores.keys() >= {"top1", "top5", "macro_f1", "balanced_accuracy"}
    assert (student.train_split, student.eval_split, student.split) == ("train", "test", "test")


def test_its_images(ran: Path):
    student = open_run_student(str(ran))
    assert sum(len(batch) for batch, _ in student.images("test", None)) == 30  # as the run was evaluated
    assert sum(len(batch) for batch, _ in student.images("train", None)) == 40  # as the run was trained
    chosen = list(student.images("train", 7))
    assert sum(len(batch) for batch, _ in chosen) == 7
    assert chosen[0][0].shape[1:] == (3, 16, 16)


def test_only_the_best_weights_of_a_run_that_is_not_finished(ran: Path, tmp_path: Path):
    going = Path(shutil.copytree(ran, tmp_path / "going"))
    (going / "summary.json").unlink()
    with pytest.raises(UserError, match="not finished") as caught:
        open_run_student(going)
    assert "--best" in (caught.value.problems[0].hint or "")
    best = open_run_student(going, "best")
    assert not best.finished
    assert best.epoch in (1, 2)


def test_there_is_no_run(tmp_path: Path):
    with pytest.raises(UserError, match="no such run"):
        open_run_student(tmp_path / "tiny")
