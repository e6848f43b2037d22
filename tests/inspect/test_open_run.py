from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from kd_report import measures

from kdcore import UserError, run
from kdcore.inspect.open_run import open_run

NARROW = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


def _write(path: Path, **sections: Any) -> Path:
    data = {
        "dataset": "digits",
        "image_size": 16,
        "train_samples": 40,
        "eval_samples": 60,
        "workers": 0,
        **sections.pop("data", {}),
    }
    train = {"epochs": 2, "batch_size": 16, **sections.pop("train", {})}
    spec = {"student": NARROW, "distiller": "vanilla", "optimizer": {"lr": 0.02}, **sections}
    path.write_text(json.dumps({**spec, "data": data, "train": train}))
    return path


@dataclass(frozen=True)
class Ran:
    directory: Path
    summary: dict[str, Any]
    teacher: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A student with an average and a teacher that was trained by its own spec, with --output."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    folder = tmp_path_factory.mktemp("opened")
    _write(folder / "teacher.json")
    spec = _write(
        folder / "pair.json", teacher={"run": "teacher.json"}, distiller="kd", train={"ema": 0.8, "epochs": 3}
    )
    done = run(spec, output=folder / "elsewhere", quiet=True)
    return Ran(done.directory, done.summary, folder / "elsewhere" / "teacher")


def test_last_best_and_averaged_student_are_those_that_the_run_measured(ran: Ran):
    about = ran.summary["student"]
    expected = {"last": about["top1"], "best": about["best_top1"], "ema": about["ema"]["top1"]}
    for which, top1 in expected.items():
        opened = open_run(ran.directory, student=which, device="cpu")  # type: ignore[arg-type]
        student, teacher = opened.predict()
        assert teacher is not None
        assert len(student) == 60
        assert measures.top_k(student.logits, student.target) == pytest.approx(top1)
        assert measures.top_k(teacher.logits, teacher.target) == pytest.approx(ran.summary["teacher"]["top1"])
        if which == "last":
            assert measures.agreement(student.logits, teacher.logits) == pytest.approx(about["agreement"])
            assert measures.top_k(student.logits, student.target, 5) == pytest.approx(about["top5"])
    assert opened.predictions is opened.predictions
    assert opened.predictions[0].embedding is not None
    assert torch.equal(opened.predictions[0].logits, student.logits)
    assert opened.student.num_classes == 10
    assert opened.student.classes is not None
    assert opened.student.parameters == about["parameters"]
    assert opened.teacher.model is not None
    assert opened.teacher.model.name == "resnet10t"


def test_embeddings_come_with_the_predictions(ran: Ran):
    student, teacher = open_run(ran.directory, device="cpu").predict(embeddings=True, limit=7)
    assert student.embedding is not None
    assert student.embedding.shape == (7, 16)
    assert teacher is not None
    assert teacher.embedding is not None


def test_fewer_images_are_balanced_and_can_be_looked_at(ran: Ran):
    opened = open_run(ran.directory, most=20, teacher=False, device="cpu")
    student, teacher = opened.predict()
    assert teacher is None
    assert opened.teacher.missing is None
    assert student.target.bincount().tolist() == [2] * 10
    picture = opened.image(int(student.position[3]))
    assert picture is not None
    assert picture.size == (8, 8)
    assert opened.images.chosen[3][1] == student.target[3]


def test_other_data_than_the_run_s(ran: Ran):
    opened = open_run(ran.directory, device="cpu", teacher=False)
    data = opened.spec.data.model_copy(update={"eval_split": "train", "eval_samples": 33})
    student, _ = open_run(ran.directory, data=data, device="cpu").predict()
    assert len(student) == 33


def test_a_run_and_its_teacher_s_that_were_moved_together(ran: Ran, tmp_path: Path):
    shutil.copytree(ran.directory.parent, tmp_path / "moved")
    spec = json.loads((ran.directory / "spec.json").read_text())
    spec["output"] = str(tmp_path / "gone")
    (tmp_path / "moved" / "pair" / "spec.json").write_text(json.dumps(spec))
    opened = open_run(tmp_path / "moved" / "pair", device="cpu")
    assert opened.teacher.model is not None


def test_a_teacher_that_is_gone_is_told(ran: Ran, tmp_path: Path):
    shutil.copytree(ran.directory, tmp_path / "alone" / "pair")
    spec = json.loads((ran.directory / "spec.json").read_text())
    (tmp_path / "alone" / "pair" / "spec.json").write_text(
        json.dumps({**spec, "output": str(tmp_path / "alone")})
    )
    opened = open_run(tmp_path / "alone" / "pair", device="cpu")
    assert opened.teacher.model is None
    assert "no finished run of it in any of" in str(opened.teacher.missing)
    spec["teacher"]["run"] = str(tmp_path / "no.json")
    (tmp_path / "alone" / "pair" / "spec.json").write_text(json.dumps(spec))
    assert "there is no such file" in str(open_run(tmp_path / "alone" / "pair", device="cpu").teacher.missing)


def test_an_unfinished_run_is_opened_from_its_checkpoint(ran: Ran, tmp_path: Path):
    copy = tmp_path / "pair"
    shutil.copytree(ran.directory, copy)
    whole = {which: open_run(copy, student=which, device="cpu") for which in ("last", "best", "ema")}  # type: ignore[arg-type]
    (copy / "summary.json").unlink()
    for which, finished in whole.items():
        opened = open_run(copy, student=which, teacher=False, device="cpu")  # type: ignore[arg-type]
        expected = finished.student.model.state_dict()
        for name, value in opened.student.model.state_dict().items():
            assert torch.equal(value, expected[name])
        assert opened.student.input == finished.student.input
        assert opened.student.classes == finished.student.classes
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        open_run(copy)
    with pytest.raises(UserError, match="the best student"):
        open_run(copy, student="best")


@pytest.mark.parametrize("kind", ["random", "checkpoint", "none"])
def test_other_teachers(ran: Ran, tmp_path: Path, kind: str):
    teachers: dict[str, Any] = {
        "random": NARROW,
        "checkpoint": {"checkpoint": str(ran.teacher), "image_size": 24},
        "none": None,
    }
    distiller = "vanilla" if kind == "none" else "kd"
    spec = _write(
        tmp_path / "one.json",
        teacher=teachers[kind],
        distiller=distiller,
        train={"epochs": 1},
        data={"mean": [0.2, 0.2, 0.2]},
    )
    done = run(spec, quiet=True)
    opened = open_run(done.directory, device="cpu")
    student, teacher = opened.predict()
    assert measures.top_k(student.logits, student.target) == pytest.approx(done.summary["student"]["top1"])
    assert opened.teacher.missing is None
    if kind == "none":
        assert teacher is None
    else:
        assert teacher is not None
        assert measures.top_k(teacher.logits, teacher.target) == pytest.approx(
            done.summary["teacher"]["top1"]
        )


def test_without_an_evaluation_split_no_image_counts_as_labelled(tmp_path: Path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    spec = _write(tmp_path / "one.json", data={"eval_split": None, "eval_samples": 30}, train={"epochs": 1})
    student, _ = open_run(run(spec, quiet=True).directory, device="cpu").predict()
    assert student.target.tolist() == [-1] * 30


def test_what_is_no_run_is_told(tmp_path: Path, ran: Ran):
    with pytest.raises(UserError, match="this is not a run directory"):
        open_run(tmp_path)
    with pytest.raises(UserError, match="no averaged student"):
        open_run(ran.teacher, student="ema")
    (tmp_path / "spec.json").write_text('{"student": {"model": "resnet18"}, "distiller": "kd", "later": 1}')
    with pytest.raises(UserError, match="not a spec of this version of kdcore: later"):
        open_run(tmp_path)
