"""What predicts: the student of a run, or an export through its own `load.py`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kd_export.about import ABOUT
from kd_export.script import import_script
from kd_export.written import SCRIPT
from kdcore import ImagePredictor, Outputs, Problem, RunFailed, UserError
from kdcore.inspect import open_run_student
from kdcore.plugin import PluginError, guarded, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from kdcore.inspect import Which


@dataclass(frozen=True)
class Opened:
    """A student that predicts.

    Attributes:
        predictor: the student.
        embeds: whether it gives an embedding.
    """

    predictor: ImagePredictor
    embeds: bool


def open_predictor(target: str | Path, weights: Which, device: str) -> Opened:
    """The student of a run directory, or the student in the folder of an export.

    Raises:
        UserError: it is neither of them, or it cannot be opened.
        RunFailed: the export's script cannot load it.
    """
    path = Path(target)
    if (path / ABOUT).is_file():
        if weights != "last":
            message = "an export has one set of weights"
            raise UserError(
                Problem(f"--{weights}", message, hint=f"leave it out, or export with --{weights}")
            )
        if device != "cpu":
            message = "an export runs as its load.py says, on the CPU"
            raise UserError(Problem("--device", message, device, "cpu"))
        return _exported(path)
    return Opened(open_run_student(path, weights).predictor(device), embeds=True)


def _exported(folder: Path) -> Opened:
    about = _about(folder)
    try:
        with guarded(""), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that TorchScript is deprecated
            script = import_script(folder)
            student = script.load()
    except PluginError as error:
        hint = f"'python {folder / SCRIPT}' shows the whole error; it needs what its first lines name"
        raise RunFailed(f"{folder / SCRIPT} cannot load the export: {error}\n    {hint}") from error
    kind, size = about["output"]["name"], about["output"]["shape"][-1]
    encoder = kind == "embedding"

    def prepare(image: Image.Image) -> NDArray[np.float32]:
        prepared: NDArray[np.float32] = script.prepared(image)
        return prepared

    def call(images: NDArray[np.float32], embedding: bool) -> Outputs:
        del embedding  # checked before
        found = np.asarray(student(images), np.float32)
        return Outputs(None, found) if encoder else Outputs(found)

    return Opened(
        ImagePredictor(prepare, call, num_classes=0 if encoder else size, classes=about["classes"]), encoder
    )


def _about(folder: Path) -> dict[str, Any]:
    """The facts about an export; the fields that are read here are there."""
    try:
        about: dict[str, Any] = read_json(folder / ABOUT)
        if about["format"] != 1:
            raise ValueError(
                f"its format is {about['format']!r}, and this version of kd-export reads format 1"
            )
        name, size, classes = about["output"]["name"], about["output"]["shape"][-1], about["classes"]
        fits = classes is None or (isinstance(classes, list) and len(classes) == size)
        if (
            name not in ("logits", "embedding")
            or not isinstance(size, int)
            or not (fits or name == "embedding")
        ):
            raise ValueError("its output is not described as kd export does")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            Problem(str(folder / ABOUT), f"this is not the description of an export: {what}")
        ) from error
    return about
