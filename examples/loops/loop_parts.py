"""What the three loops share: the digits, a student, and a teacher that `kd run` or `save_run` left.

The images are prepared as `kd eval` prepares them, so that it measures what the loop measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2

from kdcore import Distillation, load_student
from kdcore.inspect import DataSpec, open_split
from kdcore.plugin import get_plugins

STUDENT = {"model": "resnet10t", "options": {"channels": [16, 32, 64, 128]}}
CLASSES = 10


class Digits(Dataset[dict[str, Any]]):
    """One split of the digits as tensors: images, labels, and the index that some distillers need."""

    def __init__(self, split: str, size: tuple[int, int], samples: int | None = None) -> None:
        source = open_split(DataSpec(dataset="digits"), split, plugins=get_plugins(), where="data")
        config = timm.get_pretrained_cfg(STUDENT["model"])
        prepare = v2.Compose(
            [
                v2.Resize(size, v2.InterpolationMode.BICUBIC),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(config.mean, config.std),
            ]
        )
        chosen = [source[index] for index in range(samples or len(source))]
        self.images = torch.stack([prepare(image.convert("RGB")) for image, _ in chosen])
        self.labels = torch.tensor([label for _, label in chosen])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"images": self.images[index], "labels": self.labels[index], "index": index}


def image_size(teacher_run: str | Path) -> tuple[int, int]:
    """Height and width of the teacher's images, which the student gets too."""
    return load_student(teacher_run).input.image_size


def distillation(teacher_run: str | Path, distillers: Any, train_size: int, **options: Any) -> Distillation:
    """A new student with the teacher of a run directory."""
    torch.manual_seed(0)
    student = timm.create_model(STUDENT["model"], num_classes=CLASSES, **STUDENT["options"])
    teacher = load_student(teacher_run)
    return Distillation(
        student,
        teacher.model,
        distillers,
        num_classes=CLASSES,
        image_size=teacher.input.image_size,
        train_size=train_size,
        **options,
    )


def spec(teacher_run: str | Path) -> dict[str, Any]:
    """What `save_run` needs to know: how the student is built, which images it is for, and its teacher."""
    return {
        "student": STUDENT,
        "data": {"dataset": "digits", "image_size": list(image_size(teacher_run))},
        "teacher": {"checkpoint": str(teacher_run)},
    }
