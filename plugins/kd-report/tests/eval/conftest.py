from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from kdcore import run

NARROW = {"channels": [4, 4, 8, 8]}


@pytest.fixture(scope="session")
def numbers(tmp_path_factory):
    """A folder of images of ten classes: 30 in the split train, 80 in test."""
    folder = tmp_path_factory.mktemp("data") / "numbers"
    generator = torch.Generator().manual_seed(0)
    for split, each in (("train", 3), ("test", 8)):
        for label in range(10):
            (folder / split / str(label)).mkdir(parents=True)
            for number in range(each):
                pixels = torch.randint(256, (16, 16, 3), generator=generator, dtype=torch.uint8)
                pixels[label : label + 4] = 25 * label
                Image.fromarray(pixels.numpy()).save(folder / split / str(label) / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="session")
def pair(tmp_path_factory, numbers):
    """The directory of a run of one epoch, `runs/student`, beside that of its teacher, `runs/teacher`."""
    folder = tmp_path_factory.mktemp("evaluation")
    base = {
        "data": {
            "dataset": numbers,
            "image_size": 16,
            "train_samples": 20,
            "eval_samples": 60,
            "workers": 0,
        },
        "distiller": "vanilla",
        "train": {"epochs": 1, "batch_size": 10, "ema": 0.5},
    }
    teacher = base | {"student": {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}}
    student = base | {
        "teacher": {"run": "teacher.json"},
        "student": {"model": "resnet10t", "options": NARROW},
    }
    (folder / "teacher.json").write_text(json.dumps(teacher))
    (folder / "student.json").write_text(json.dumps(student))
    return run(folder / "student.json", quiet=True).directory


@pytest.fixture(scope="session")
def narrow():
    """The options of the student's model."""
    return NARROW
