"""What an export says of its student: the model, the classes' names, how images are prepared, what was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import timm
import torch

from kdcore.text import dataset_name
from kdcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.data import InputConfig
    from kdcore.inspect.run_students import RunStudent
    from kdcore.spec.models import DataSpec


def about_student(
    student: RunStudent, target: str, made_with: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Model, classes, input, output, results, and the versions of what made it; JSON-ready.

    Args:
        student: the student.
        target: the format that it is exported to.
        made_with: further distributions and their versions.
    """
    data = student.spec.data
    name, size = student.output
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
        **({} if student.opened.thresholds is None else {"thresholds": list(student.opened.thresholds)}),
        "input": _preprocessing(student.input, data),
        "output": {"name": name, "shape": ["batch", size]},
        # only the name of a path: its place on this machine is private
        "results": {"dataset": dataset_name(data.dataset), "split": student.eval_split, **student.scores},
        "made_with": {
            "kdcore": __version__,
            "torch": str(torch.__version__),
            "timm": timm.__version__,
            **(made_with or {}),
        },
    }


def _preprocessing(taken: InputConfig, data: DataSpec) -> dict[str, Any]:
    """How an image becomes the model's input.

    `resize` is what the shorter side becomes, or, where the input is not square, the (height, width) that the image
    has to cover; `crop` is cut from the middle; pixels are divided by 255, `mean` is taken off, `std` divides. `mode`
    is null for images that are neither grey nor RGB; `bands`, `value_range` and `array_order` are those of the spec.
    """
    channels = data.channels
    height, width = taken.image_size
    cover = [math.floor(side / taken.crop_pct) for side in taken.image_size]
    return {
        "name": "images",
        "shape": ["batch", channels, height, width],
        "dtype": "float32",
        "mode": {1: "L", 3: "RGB"}.get(channels),
        "bands": None if data.bands is None else list(data.bands),
        "value_range": None if data.value_range is None else list(data.value_range),
        "array_order": data.array_order,
        "resize": cover[0] if cover[0] == cover[1] else cover,
        "interpolation": taken.interpolation,
        "crop": [height, width],
        "crop_pct": taken.crop_pct,
        "mean": list(taken.mean),
        "std": list(taken.std),
    }
