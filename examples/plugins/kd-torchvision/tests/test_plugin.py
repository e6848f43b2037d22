"""The plugin keeps kdcore's rules, a file of torchvision's weights is a teacher, and the specs run."""

from __future__ import annotations

import json
from pathlib import Path

import kdcore
import pytest
import torch
import torchvision
from kdcore.testing import parametrize_with_checks, plugin_checks
from PIL import Image

SPECS = Path(__file__).parent.parent / "specs"


@parametrize_with_checks(plugin_checks("kd-torchvision"))
def test_conformance(check):
    check()


@pytest.fixture
def pictures(tmp_path):
    """A folder of a few images of ten classes."""
    for split in ("train", "test"):
        for number in range(10):
            folder = tmp_path / "pictures" / split / f"class{number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (25 * number, 40, 250 - 20 * number)).save(folder / "0.png")
    return str(tmp_path / "pictures")


@pytest.fixture
def run(pictures, tmp_path):
    """Runs an epoch of a few pictures."""

    def call(teacher, student):
        spec = {
            "name": student["model"],
            "output": str(tmp_path / "runs"),
            "data": {"dataset": pictures, "image_size": 32, "workers": 0},
            "teacher": teacher,
            "student": student,
            "distiller": "vanilla",
            "train": {"epochs": 1, "batch_size": 10},
        }
        return kdcore.run(kdcore.RunSpec.model_validate(spec), quiet=True)

    return call


def test_a_file_of_torchvisions_weights_is_a_teacher(run, tmp_path):
    own = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    images = torch.tensor([[25.0 * n, 40.0, 250 - 20.0 * n] for n in range(10)]) / 255
    images = (images - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    # at the teacher's own size, a classifier that knows seven of the ten images
    wanted = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 0, 0])
    features = torch.nn.Sequential(*list(own.children())[:-1], torch.nn.Flatten())
    with torch.no_grad():
        seen = features(images[:, :, None, None].expand(10, 3, 224, 224)).double()
        own.fc.weight.copy_((torch.linalg.pinv(seen) @ torch.eye(10, dtype=torch.double)[wanted]).T)
        own.fc.bias.zero_()
    torch.save(own.state_dict(), tmp_path / "resnet18.pth")
    student = {"model": "torchvision_squeezenet1_1", "options": {"dropout": 0.1}}
    result = run({"model": "torchvision_resnet18", "checkpoint": str(tmp_path / "resnet18.pth")}, student)
    assert result.summary["teacher"]["top1"] == pytest.approx(70.0)
    # what was trained is built again from the run directory, and is torchvision's by its weights
    from kdcore import load_student
    from kdcore.plugins import get_plugins
    from safetensors.torch import load_file

    folder = tmp_path / "runs" / "torchvision_squeezenet1_1" / "student"
    again = load_student(folder, plugins=get_plugins())
    assert again.model.classifier[0].p == 0.1
    torchvision.models.squeezenet1_1(weights=None, num_classes=10).load_state_dict(
        load_file(folder / "model.safetensors")
    )


def test_a_student_begins_with_weights_for_other_classes(run, tmp_path):
    own = torchvision.models.mobilenet_v3_small(weights=None, num_classes=1000)
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    result = run(None, {"model": "torchvision_mobilenet_v3_small", "checkpoint": weights})
    assert result.summary["status"] == "finished"
    with pytest.raises(kdcore.UserError, match="the checkpoint knows 1000 classes, the data has 10"):
        run(
            {"model": "torchvision_mobilenet_v3_small", "checkpoint": weights},
            {"model": "torchvision_squeezenet1_1"},
        )


def test_the_specs_are_right():
    for path in SPECS.glob("*.json"):
        content = json.loads(path.read_text())
        if content["distiller"] != "vanilla":  # kd-classic's, which need not be here
            content["distiller"] = "vanilla"
            content["teacher"]["run"] = str(SPECS / content["teacher"]["run"])
        kdcore.RunSpec.model_validate(content)
    assert "specs/digits.json" in (SPECS.parent / "README.md").read_text()
