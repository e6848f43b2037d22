"""torch's own formats that need no code of the model: torch.export's programs and TorchScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.about import KEY, as_texts
from kd_export.formats.quietly import quietly
from kd_export.formats.weights import CALL
from kdcore import ExportedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from torch.export import ExportedProgram

    from kdcore.inspect import RunStudent

_FILES: Final = {"pt2": "model.pt2", "torchscript": "model.pt"}
_EXAMPLES: Final = 2  # a batch of 1 would be taken for a constant


def exported_program(student: RunStudent, batch: int | None = None) -> ExportedProgram:
    """The student as a graph, for batches of this number of images; None: of any size."""
    example = student.example(_EXAMPLES if batch is None else batch)
    shapes = ({0: torch.export.Dim("batch")},) if batch is None else None
    with torch.inference_mode(False), torch.no_grad():
        return torch.export.export(student.model, (example,), dynamic_shapes=shapes)


def write_pt2(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """`model.pt2`."""
    path = folder / _FILES["pt2"]
    with quietly("pt2"):
        torch.export.save(exported_program(student), path, extra_files=_extra_files(about))
    return _loaded_by(path, f'torch.export.load(folder / "{path.name}").module()')


def write_torchscript(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """`model.pt`, traced: the check finds what depends on values of the images, which tracing freezes."""
    path = folder / _FILES["torchscript"]
    with quietly("torchscript"), torch.no_grad():
        traced = torch.jit.trace(student.model, student.example(_EXAMPLES), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path, _extra_files=_extra_files(about))
    return _loaded_by(path, f'torch.jit.load(folder / "{path.name}").eval()')


def _loaded_by(path: Path, model: str) -> ExportedFiles:
    return ExportedFiles(
        files=[path], load=f"model = {model}\n{CALL}", imports=["import torch"], needs=["torch"]
    )


def _extra_files(about: dict[str, Any]) -> dict[str, str]:
    return {f"{KEY}.json": as_texts(about)[KEY]}
