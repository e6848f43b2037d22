"""What predicts: the student of a run, or an export through its own `load.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore import Problem, UserError
from kdcore.inspect import is_export, open_export, open_run_student

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore import ImagePredictor
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
    if not is_export(target):
        return Opened(open_run_student(target, weights).predictor(device), embeds=True)
    if weights != "last":
        message = "an export has one set of weights"
        raise UserError(Problem(f"--{weights}", message, hint=f"leave it out, or export with --{weights}"))
    if device != "cpu":
        message = "an export runs as its load.py says, on the CPU"
        raise UserError(Problem("--device", message, device, "cpu"))
    exported = open_export(target)
    return Opened(exported.predictor(), exported.is_encoder)
