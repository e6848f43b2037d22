"""An export as the target of `kd eval`: its own script runs it, on the images of its run or of a dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from kd_report.eval.open_model import named_data, on_data
from kd_report.eval.opened import (
    Opened,
    Setting,
    check_classes,
    check_no_model_flags,
    check_predicts,
)
from kd_report.eval.problem_places import reported_at_flags
from kdcore import OpenedModel, Problem, RunFailed, UserError
from kdcore.inspect import OpenedExport, open_export, open_split
from kdcore.plugin import PluginError, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from kd_report.eval.request import EvalRequest
    from kdcore.plugin import Plugins


@dataclass(frozen=True, kw_only=True)
class ExportedModel(OpenedModel):
    """An export with the same attributes as a model of PyTorch; its size is that of its files."""

    exported: OpenedExport

    @property
    def parameters(self) -> int:
        """As many as the student has that was exported."""
        return int(self.exported.about["model"]["parameters"])

    @property
    def weights_bytes(self) -> int:
        """The size of its files, without the description and the script."""
        return self.exported.model_bytes


class _Script(nn.Module):
    """The function that an export's script gives, as a module."""

    def __init__(self, exported: OpenedExport) -> None:
        super().__init__()
        self._exported = exported

    def forward(self, images: Tensor) -> Tensor:
        folder = self._exported.folder
        try:
            with guarded(""):
                found = np.asarray(self._exported.call(images.float().numpy()), np.float32)
        except PluginError as error:  # whatever the runtime raises
            raise RunFailed(
                f"{folder} cannot be used on images of shape {list(images.shape)}: {error}"
            ) from error
        if found.shape != (len(images), self._exported.num_classes):
            wanted = [len(images), self._exported.num_classes]
            raise RunFailed(f"{folder} gives logits of shape {list(found.shape)} instead of {wanted}")
        return torch.from_numpy(found)


def open_exported(
    request: EvalRequest,
    device: torch.device,
    plugins: Plugins,
    open_run: Callable[[EvalRequest, torch.device, Plugins], Opened],
) -> Opened:
    """The export that a request names, on the CPU.

    An export that lies in the directory of its run has the run's images and teacher, unless the request names others.

    Raises:
        UserError: the export, the data or the teacher is not available, or they do not fit each other.
        RunFailed: the export's script cannot load it.
    """
    check_no_model_flags(request, "an export, which knows its model")
    if request.weights != "last":
        hint = f"leave it out, or export with --{request.weights}"
        raise UserError(Problem(f"--{request.weights}", "an export has one set of weights", hint=hint))
    if device.type != "cpu":
        if request.device is not None:
            message = "an export runs as its load.py says, on the CPU"
            raise UserError(Problem("--device", message, request.device, "cpu"))
        device = torch.device("cpu")
    exported = open_export(request.target)
    student = ExportedModel(
        name=f"{exported.about['model']['name']} ({exported.about['target']})",
        model=_Script(exported).eval(),
        input=exported.input,
        exported=exported,
    )
    check_predicts(exported.num_classes, student.name)
    run = _run_of(Path(request.target))
    if run is not None and request.images.dataset is None:
        found = open_run(replace(request, target=str(run)), device, plugins)
        setting = Setting(device=device)  # the export has its own number format
        student = replace(student, transform=found.student.transform)
        own = {"weights": exported.about["weights"], "thresholds": exported.thresholds}
        return replace(found, student=student, setting=setting, **own)
    return _with_data(request, student, device, plugins)


def _run_of(folder: Path) -> Path | None:
    """The run directory that an export lies in: RUN/export/NAME."""
    run = folder.absolute().parent.parent
    return run if folder.absolute().parent.name == "export" and (run / "spec.json").is_file() else None


def _with_data(
    request: EvalRequest, student: ExportedModel, device: torch.device, plugins: Plugins
) -> Opened:
    exported = student.exported
    rule = exported.rule
    data = named_data(request, "Only a run, and an export in a run's directory, know their own images")
    data = data.model_copy(update=asdict(rule))
    with reported_at_flags(request):
        source = open_split(data, data.eval_split or "", plugins=plugins, where="data.eval_split")
    check_classes(source, exported.num_classes, exported.classes, request.images)
    known = (exported.num_classes, exported.classes)
    found = on_data(request, student, data, source, known, source.notes, device, plugins)
    return replace(found, thresholds=exported.thresholds)
