"""What an export says of itself: the model, the classes' names, how images are prepared, what was measured."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import timm
import torch

from kdcore import __version__
from kdcore.plugin import dataset_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kdcore import InputConfig
    from kdcore.inspect import RunStudent

ABOUT: Final = "kd.json"
"""The file next to each export."""
KEY: Final = "kd"
"""Under which the same is kept inside of files that can hold it."""


def about(student: RunStudent, target: str, made_with: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Model, classes, input, output, results, and the versions of what made it; JSON-ready."""
    data = student.spec.data
    return {
        "format": 1,
        "target": target,
        "run": student.run.name,
        "weights": student.weights,
        "epoch": student.epoch,
        "model": {
            "name": student.name,
            "options": student.spec.student.options,
            "small_input": student.spec.student.small_input,
            "parameters": student.parameters,
        },
        "classes": None if student.class_names is None else list(student.class_names),
        "input": preprocessing(student.input, student.in_chans),
        "output": {"name": "logits", "shape": ["batch", student.num_classes]},
        # only the name of a path: its place on this machine is private
        "results": {"dataset": dataset_name(data.dataset), "split": student.eval_split, **student.scores},
        "made_with": {
            "kdcore": __version__,
            "torch": str(torch.__version__),
            "timm": timm.__version__,
            **(made_with or {}),
        },
    }


def preprocessing(taken: InputConfig, channels: int) -> dict[str, Any]:
    """How an image becomes the model's input.

    `resize` is what the shorter side becomes, or, where the input is not square, the (height, width) that the image
    has to cover; `crop` is cut from the middle; pixels are divided by 255, `mean` is taken off, `std` divides.
    """
    height, width = taken.image_size
    cover = [math.floor(side / taken.crop_pct) for side in taken.image_size]
    return {
        "name": "images",
        "shape": ["batch", channels, height, width],
        "dtype": "float32",
        "mode": "L" if channels == 1 else "RGB",
        "resize": cover[0] if cover[0] == cover[1] else cover,
        "interpolation": taken.interpolation,
        "crop": [height, width],
        "mean": list(taken.mean),
        "std": list(taken.std),
    }


def as_texts(about: dict[str, Any]) -> dict[str, str]:
    """The same for formats whose metadata are texts by name: whole, and what runtimes look for by itself."""
    texts = {KEY: json.dumps(about), "preprocessing": json.dumps(about["input"])}
    if about["classes"] is not None:
        texts["classes"] = json.dumps(about["classes"])
    return texts


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write it next to the model."""
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
