"""ONNX, by torch's exporter: for batches of any size, with classes and preprocessing in its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.about import as_texts
from kd_export.formats.programs import exported_program
from kd_export.formats.quietly import quietly
from kd_export.quantize.export import LEARNED, in_integers, is_rounded
from kdcore import ExportedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect import RunStudent

FILE: Final = "model.onnx"
INPUT: Final = "images"
_LOAD: Final = f"""
session = onnxruntime.InferenceSession(folder / "{FILE}", providers=["CPUExecutionProvider"])
return lambda images: session.run(None, {{"{INPUT}": images}})[0]
"""


def write_onnx(
    student: RunStudent, folder: Path, about: dict[str, Any], *, int8: bool = False
) -> ExportedFiles:
    """`model.onnx`, with `int8` in 8-bit integers.

    Raises:
        UserError: the training images, which the quantisation needs, are not available.
        RunFailed: torch or onnxruntime cannot export this student.
    """
    path = folder / FILE
    learned = int8 and is_rounded(student)
    traced = in_integers(student, unsigned=True) if learned else student
    with quietly("onnx"):
        program = torch.onnx.export(
            exported_program(traced),
            input_names=[INPUT],
            output_names=[student.output[0]],
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path)
    more: dict[str, Any] = {}
    if learned:
        more["int8"] = {**LEARNED, "format": "QDQ, weights int8 per channel, activations uint8"}
    elif int8:
        from kd_export.formats.int8 import quantise

        more["int8"] = quantise(path, student, INPUT)
    add_metadata(path, {**about, **more})
    return ExportedFiles(
        files=[FILE],
        load=_LOAD,
        imports=["import onnxruntime"],
        needs=["onnxruntime"],
        exact=not int8,
        about=more,
    )


def add_metadata(path: Path, about: dict[str, Any]) -> None:
    """Put what the export says of itself into `metadata_props`."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, as_texts(about))
    model.doc_string = f"{about['model']['name']}, the student of run {about['run']}"
    onnx.save(model, path)
