"""The specs of the page on pruning, with few images and epochs: trained, pruned, evaluated and exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import kdcore

PAGE = Path(__file__).parents[3] / "docs" / "prune.md"
FEW = ["data.train_samples=64", "data.eval_samples=32", "train.epochs=1", "report=false", "data.workers=0"]
SMALL = 'student.options={"channels": [16, 16, 32, 32]}'
pytest.importorskip("torch_pruning", reason="needs kd-prune[torch-pruning]")
pytest.importorskip("sklearn", reason="needs kdcore[digits]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's specs, both run."""
    folder = tmp_path_factory.mktemp("page")
    text = re.sub(r"^ {4}", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in ("teacher", "pruned"):
        found = re.search(rf"<!-- file: {name}\.json -->\n(?:<!--.*-->\n)?```json\n(.*?)```", text, re.DOTALL)
        (folder / f"{name}.json").write_text(found[1])
        more = [SMALL] if name == "teacher" else []
        kdcore.run(folder / f"{name}.json", overrides=[*FEW, *more], quiet=True)
    return folder


def logits(model):
    with torch.no_grad():
        return model(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def test_the_pruned_student_is_smaller(folder):
    summary = json.loads((folder / "runs" / "pruned" / "summary.json").read_text())
    teacher, student = summary["teacher"]["parameters"], summary["student"]["parameters"]
    assert 0.2 < student / teacher < 0.35


def test_a_run_that_was_stopped_ends_with_the_same_bits(folder):
    other = {"output": folder / "other", "quiet": True}
    changes = [*(one for one in FEW if "epochs" not in one), "train.epochs=2"]
    kdcore.run(folder / "pruned.json", overrides=changes, until=1, **other)
    stopped = kdcore.run(folder / "pruned.json", overrides=changes, **other)
    whole = kdcore.run(folder / "pruned.json", overrides=changes, output=folder / "whole", quiet=True)
    ours, theirs = (kdcore.load_student(one.directory).model.state_dict() for one in (stopped, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_is_opened_without_torch_pruning_and_without_its_weights(folder, tmp_path, monkeypatch):
    import shutil
    import sys

    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    moved = shutil.copytree(folder / "runs" / "pruned", tmp_path / "moved")
    own = kdcore.load_student(folder / "runs" / "pruned").model
    assert torch.equal(logits(kdcore.load_student(moved).model), logits(own))


def test_eval_export_and_predict(folder, tmp_path, monkeypatch):
    kd_report = pytest.importorskip("kd_report")
    kd_export = pytest.importorskip("kd_export")
    pytest.importorskip("onnxruntime")
    run = folder / "runs" / "pruned"
    result = kd_report.evaluate(run, batch_sizes=())
    assert result.student.macs < 0.35 * result.teacher.macs
    assert kd_export.export(run, "onnx", samples=4).check.largest_difference < 1e-3
    with pytest.raises(
        kdcore.UserError, match="timm cannot build this student: resnet10t with the transform 'prune'"
    ):
        kd_export.export(run, "timm", samples=0)


def test_a_pruned_student_is_pruned_again(folder):
    spec = json.loads((folder / "pruned.json").read_text())
    student = {"model": "resnet10t", "checkpoint": str(folder / "runs" / "pruned"), "transform": "prune"}
    teacher = {"checkpoint": str(folder / "runs" / "pruned")}
    again = {**spec, "name": "again", "output": str(folder / "runs"), "student": student, "teacher": teacher}
    found = kdcore.run(again, overrides=FEW, quiet=True).summary
    assert found["student"]["parameters"] < 0.5 * found["teacher"]["parameters"]
