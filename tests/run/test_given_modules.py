"""`kdcore.run` with module objects as student and teachers."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

import kdcore
from kdcore import UserError
from kdcore.inspect.open_run import open_run
from kdcore.spec.load import load_spec

pytest.importorskip("kd_classic", reason="the methods are not installed")


class Net(nn.Module):
    """A network that no library knows."""

    def __init__(self, seed, classes=10):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, classes),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def spec(spec_file):
    return spec_file("given", distiller="kd", train={"epochs": 1})


def test_modules_take_the_places_of_names_and_stay_as_they_are(spec):
    student, teacher = Net(0), Net(1)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    result = kdcore.run(spec, student=student, teacher=teacher, quiet=True)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    written = json.loads((result.directory / "spec.json").read_text())
    assert written["student"]["model"] == "module"
    assert written["student"]["options"]["type"].endswith(":Net")
    student.load_state_dict(load_file(result.directory / "student" / "model.safetensors"))
    assert not torch.equal(student.layers[0].weight, before["layers.0.weight"])
    assert result.summary["teacher"]["top1"] is not None


def test_a_named_teacher_gives_the_same_run_as_its_module(spec, tmp_path):
    torch.manual_seed(0)
    teacher = timm.create_model("test_resnet", num_classes=10)
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    named = {"model": "test_resnet", "checkpoint": "teacher.pth", "image_size": 16}
    content = json.loads(spec.read_text())
    (tmp_path / "named.json").write_text(json.dumps({**content, "name": "named", "teacher": named}))
    first = kdcore.run(tmp_path / "named.json", quiet=True)
    second = kdcore.run(spec, teacher=teacher, quiet=True)
    assert first.metrics[0]["loss"] == pytest.approx(second.metrics[0]["loss"], rel=1e-5)


def test_it_continues_with_the_same_modules_only(spec):
    paused = kdcore.run(
        spec, student=Net(0), teacher=Net(1), overrides=["train.epochs=2"], until=1, quiet=True
    )
    assert paused.summary["status"] == "paused"
    with pytest.raises(UserError):
        kdcore.run(spec, student=Net(0), teacher=Net(2), overrides=["train.epochs=2"], quiet=True)
    done = kdcore.run(spec, student=Net(0), teacher=Net(1), overrides=["train.epochs=2"], quiet=True)
    assert done.summary["status"] == "finished"
    assert done.metrics[0]["loss"] == paused.metrics[0]["loss"]


def test_without_them_a_spec_says_what_is_missing(spec):
    result = kdcore.run(spec, student=Net(0), teacher=Net(1), quiet=True)
    with pytest.raises(UserError) as caught:
        kdcore.run(result.directory / "spec.json", output=result.directory.parent / "again", quiet=True)
    problem = caught.value.problems[0]
    assert problem.where == "student.model"
    assert "a module object of a Python program" in problem.message
    assert "kdcore.run(SPEC, student=MODULE)" in problem.hint
    for call in (result.student, lambda: open_run(result.directory)):
        with pytest.raises(UserError, match=r"student/model\.safetensors"):
            call()


def test_several_teachers_have_names(spec):
    teachers = {"one": Net(1), "two": Net(2)}
    result = kdcore.run(spec, teacher=teachers, overrides=["distiller.teacher=mean"], quiet=True)
    assert [one["name"] for one in result.summary["teacher"]] == ["one", "two"]


def test_what_cannot_be_given_is_refused(spec):
    with pytest.raises(UserError, match="a spec that is a file or a dict"):
        kdcore.run(load_spec(spec), student=Net(0), quiet=True)
    with pytest.raises(UserError, match="cannot have this name"):
        kdcore.run(spec, teacher={"student": Net(0)}, quiet=True)
    wrong = Net(0, classes=7)
    wrong.num_classes = 7
    with pytest.raises(UserError, match="knows 7 classes, the data has 10"):
        kdcore.run(spec, teacher=wrong, quiet=True)
