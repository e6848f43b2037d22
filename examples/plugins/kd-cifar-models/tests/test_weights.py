"""Weights of others load: by name, with prefixes, from dictionaries, and with the accuracy that they are known for."""

from __future__ import annotations

import os
from pathlib import Path

import kdcore
import pytest
import torch
from PIL import Image

CIFAR10 = os.environ.get("KD_CIFAR10")
WEIGHTS = os.environ.get("KD_CIFAR_RESNET_WEIGHTS")


@pytest.fixture
def pictures(tmp_path):
    """A folder of a few images of ten classes."""
    for split in ("train", "test"):
        for number in range(10):
            folder = tmp_path / "pictures" / split / f"class{number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (25 * number, 40, 250 - 20 * number)).save(folder / "0.png")
    return tmp_path / "pictures"


@pytest.fixture
def evaluate(tmp_path):
    """Runs one step with this teacher, and gives the run's summary."""

    def run(dataset, teacher, **data):
        spec = kdcore.RunSpec.model_validate(
            {
                "name": "run",
                "output": str(tmp_path / "runs"),
                "data": {"dataset": str(dataset), "workers": 0, **data},
                "teacher": teacher,
                "student": {"model": "cifar_resnet8"},
                "distiller": "vanilla",
                "train": {"epochs": 1, "batch_size": 10},
            }
        )
        return kdcore.run(spec, quiet=True).summary

    return run


@pytest.fixture
def foreign(build, tmp_path):
    """A checkpoint as akamaster's pytorch_resnet_cifar10 writes it, and the model that it is of."""
    model = build("cifar_resnet14", shortcut="A").eval()
    weights = {
        f"module.{name}".replace(".fc.", ".linear."): value for name, value in model.state_dict().items()
    }
    path = tmp_path / "resnet14.th"
    torch.save({"state_dict": weights, "best_prec1": 91.5}, path)
    return path, model


OPTIONS = {"shortcut": "A", "normalize": "imagenet"}


def test_a_foreign_checkpoint_is_a_teacher(evaluate, pictures, foreign):
    path, model = foreign
    teacher = {"model": "cifar_resnet14", "checkpoint": str(path), "options": OPTIONS}
    summary = evaluate(pictures, teacher)
    images = torch.tensor([[25.0 * n, 40.0, 250 - 20.0 * n] for n in range(10)]) / 255
    images = (images - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        chosen = model(images[:, :, None, None].expand(10, 3, 32, 32)).argmax(1)
    assert summary["teacher"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert summary["teacher"]["top1"] == pytest.approx(10.0 * (chosen == torch.arange(10)).sum().item())


def test_a_forgotten_option_is_told(evaluate, pictures, foreign):
    path, _ = foreign
    with pytest.raises(kdcore.UserError, match=r"10 missing \(layer2\.0\.downsample\.0\.weight"):
        evaluate(pictures, {"model": "cifar_resnet14", "checkpoint": str(path)})


def test_a_teacher_of_other_classes_is_told(evaluate, pictures, foreign, tmp_path):
    path, _ = foreign
    for split in ("train", "test"):
        Image.new("RGB", (32, 32)).save(pictures / split / "class9" / "1.png")
        (pictures / split / "class10").mkdir()
        Image.new("RGB", (32, 32)).save(pictures / split / "class10" / "0.png")
    teacher = {"model": "cifar_resnet14", "checkpoint": str(path), "options": OPTIONS}
    with pytest.raises(kdcore.UserError, match="the checkpoint knows 10 classes, the data has 11"):
        evaluate(pictures, teacher)


@pytest.mark.skipif(not (CIFAR10 and WEIGHTS), reason="KD_CIFAR10 and KD_CIFAR_RESNET_WEIGHTS are not set")
@pytest.mark.parametrize(
    ("model", "file", "top1"),
    [
        ("cifar_resnet20", "resnet20-12fca82f.th", 81.03),
        ("cifar_resnet56", "resnet56-4bfd9763.th", 83.20),
    ],
)
def test_akamasters_weights(evaluate, model, file, top1):
    """Top-1 on a JPEG copy of the CIFAR-10 test images, on which networks reach about ten points less."""
    teacher = {"model": model, "checkpoint": str(Path(WEIGHTS) / file), "options": OPTIONS}
    summary = evaluate(CIFAR10, teacher, train_samples=10)
    assert summary["teacher"]["top1"] == pytest.approx(top1, abs=0.05)
