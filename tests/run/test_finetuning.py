"""The error for a teacher of another number of classes has a spec that trains it first."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

import kdcore
from kdcore import UserError

pytest.importorskip("kd_classic", reason="the methods are not installed")


@pytest.fixture
def refused(spec_file, tmp_path):
    """A spec whose teacher's weights know 7 classes, and the problem with it."""
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=7, channels=[8, 8, 16, 16])
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    teacher = {
        "model": "resnet10t",
        "options": {"channels": [8, 8, 16, 16]},
        "checkpoint": "weights.safetensors",
    }
    path = spec_file("pair", teacher=teacher, distiller="kd", train={"epochs": 1})
    with pytest.raises(UserError) as caught:
        kdcore.run(path, quiet=True)
    (problem,) = caught.value.problems
    return path, problem


def test_it_can_be_copied_and_the_run_goes_on_with_its_teacher(refused, tmp_path):
    path, problem = refused
    assert problem.where == "teacher.checkpoint"
    assert "knows 7 classes, the data has 10" in problem.message
    lines = problem.hint.splitlines()
    assert lines[1].strip().startswith("To train it first, write this to pair-teacher.json")
    spec = json.loads(lines[2])
    assert spec["student"]["checkpoint"] == str(tmp_path / "weights.safetensors")
    assert str(problem).count(lines[2].strip()) == 1  # the message keeps it whole, on one line
    (tmp_path / "pair-teacher.json").write_text(lines[2])
    pair = json.loads(path.read_text()) | {"teacher": {"run": "pair-teacher.json"}}
    path.write_text(json.dumps(pair))
    result = kdcore.run(path, quiet=True)
    assert result.summary["status"] == "finished"
    trained = json.loads((tmp_path / "runs/pair-teacher/spec.json").read_text())
    assert trained["data"]["train_samples"] == pair["data"]["train_samples"]
    assert trained["optimizer"]["lr"] == pair["optimizer"]["lr"]


def test_it_is_for_the_teacher_that_can_be_trained_only(spec_file, tmp_path):
    path = spec_file(
        teacher={"model": "resnet18.a1_in1k", "pretrained": True}, distiller="kd", train={"epochs": 1}
    )
    with pytest.raises(UserError) as caught:
        kdcore.run(path, quiet=True)
    (problem,) = caught.value.problems
    spec = json.loads(problem.hint.splitlines()[2])
    assert spec["student"] == {"model": "resnet18.a1_in1k", "pretrained": True}
    folder = tmp_path / "runs"
    assert not folder.exists()
