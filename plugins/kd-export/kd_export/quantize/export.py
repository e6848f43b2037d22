"""What the exporters need of a student's grids: learned ranges, or ranges that are measured after the training."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.formats.calibration import CalibrationImages
from kd_export.quantize.grids import ActivationGrid
from kd_export.quantize.integers import integer_form
from kd_export.quantize.plan import make_plan
from kd_export.quantize.rounded import round_to_plan, rounded_part
from kdcore import ExporterEntry, Problem, UserError

if TYPE_CHECKING:
    from torch import nn

    from kd_export.exporters import Exporter
    from kdcore.inspect import RunStudent

LEARNED: Final[dict[str, Any]] = {"ranges": "learned in training"}
"""What `kd.json` says of an export whose student was trained on grids."""


def check_form(student: RunStudent, exporter: Exporter) -> None:
    """Check that a student that was trained with 8 bits is exported with them.

    Raises:
        UserError: it is not.
    """
    if exporter.int8 or not is_rounded(student):
        return
    names = [each.entry.name for each in student.plugins.all(ExporterEntry) if each.entry.int8]
    message = (
        f"this student was trained with 8-bit integers (student.transform 'int8'), and {exporter.name} would "
        "write its weights as floating-point numbers"
    )
    allowed = " or ".join(f"--to {name} --int8" for name in names)
    hint = "for an export in floating point, run the spec without this transform"
    raise UserError(Problem("--to", message, exporter.name, allowed=allowed, hint=hint))


def is_rounded(student: RunStudent) -> bool:
    """Whether a student was trained on grids of 8-bit integers."""
    return rounded_part(student.model) is not None


def in_integers(
    student: RunStudent, *, unsigned: bool, multiplied: bool = False, logits: bool = False
) -> RunStudent:
    """A rounded student in the form that is traced; see `integer_form`."""
    form = integer_form(student.model, unsigned=unsigned, multiplied=multiplied, logits=logits)
    return _with_model(student, form)


def calibrated(student: RunStudent) -> tuple[RunStudent, dict[str, Any]]:
    """A student with grids whose ranges are those of training images, and the facts for `kd.json`.

    Raises:
        UserError: the training images are not available.
    """
    model = copy.deepcopy(student.model)
    round_to_plan(model, make_plan(model, student.input.image_size, student.in_chans))
    images = CalibrationImages(student, "mean of the batches' MinMax")
    for module in model.modules():
        module.train(isinstance(module, ActivationGrid))
    with torch.no_grad():
        for batch in images:
            model(batch)
    return _with_model(student, model.eval()), {"calibration": images.facts}


def _with_model(student: RunStudent, model: nn.Module) -> RunStudent:
    return replace(student, opened=replace(student.opened, model=model))
