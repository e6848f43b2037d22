"""ONNX, by torch's exporter: for batches of any size or one, with classes and preprocessing in its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.about import as_texts
from kd_export.compat import onnx_opsets
from kd_export.formats.half import TOLERANCE, halve
from kd_export.formats.options import OnnxOptions
from kd_export.formats.programs import exported_program
from kd_export.formats.quietly import quietly
from kd_export.formats.saturation import IMPORTS, SATURATES
from kd_export.quantize.export import LEARNED, in_integers, is_rounded
from kdcore import ExportedFiles, Problem, RunFailed, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect import RunStudent

FILE: Final = "model.onnx"
INPUT: Final = "images"
BATCH: Final = "batch"
"""The name of the free axis."""
_OPTIONS: Final = """
options = onnxruntime.SessionOptions()
"""
_FLOATS: Final = f"""{SATURATES}
if saturates:  # float32 with the rounding of 8 bits: slower, and right
    options.add_session_config_entry("session.disable_quant_qdq", "1")
"""
_LOAD: Final = f"""
session = onnxruntime.InferenceSession(folder / "{FILE}", options, providers=["CPUExecutionProvider"])
"""
_ANY: Final = f"""
return lambda images: session.run(None, {{"{INPUT}": images}})[0]
"""
_FIXED: Final = f"""
def student(images):
    size, rows = {{size}}, []
    for begin in range(0, len(images), size):
        some = images[begin : begin + size]
        full = np.zeros((size, *images.shape[1:]), np.float32)  # the last batch may be smaller
        full[: len(some)] = some
        rows.append(session.run(None, {{{{"{INPUT}": full}}}})[0][: len(some)])
    return np.concatenate(rows)

return student
"""


def write_onnx(
    student: RunStudent,
    folder: Path,
    about: dict[str, Any],
    *,
    int8: bool = False,
    fp16: bool = False,
    options: OnnxOptions | None = None,
) -> ExportedFiles:
    """`model.onnx`, with `int8` in 8-bit integers, with `fp16` in half precision.

    Raises:
        UserError: the training images, which the quantisation needs, are not available; or torch does not write this
            opset.
        RunFailed: torch or onnxruntime cannot export this student.
    """
    path = folder / FILE
    chosen = options or OnnxOptions()
    _check_opset(chosen.opset)
    learned = int8 and is_rounded(student)
    traced = in_integers(student, unsigned=True) if learned else student
    with quietly("onnx"):
        program = torch.onnx.export(
            # the ranges of the quantisation are measured with batches of any size
            exported_program(traced, None if int8 else chosen.batch),
            input_names=[INPUT],
            output_names=[student.output[0]],
            opset_version=chosen.opset,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path)
        if fp16:
            halve(path)
    more: dict[str, Any] = {}
    if learned:
        more["int8"] = {**LEARNED, "format": "QDQ, weights int8 per channel, activations uint8"}
    elif int8:
        from kd_export.formats.int8 import quantise

        more["int8"] = quantise(path, student, INPUT)
    more["onnx"] = {"opset": finish(path, {**about, **more}, chosen)}
    call = _ANY if chosen.batch is None else _FIXED.format(size=chosen.batch)
    return ExportedFiles(
        files=[FILE],
        load="".join([_OPTIONS, *([_FLOATS] if int8 else []), _LOAD, call]),
        imports=[*(IMPORTS if int8 else ()), "import onnxruntime"],
        needs=["onnxruntime"],
        exact=not (int8 or fp16),
        tolerance=TOLERANCE if fp16 else None,
        about=more,
    )


def _check_opset(opset: int | None) -> None:
    first, last = onnx_opsets()
    if opset is not None and not first <= opset <= last:
        message = f"torch {torch.__version__} does not write this opset of ONNX"
        raise UserError(Problem("--option.opset", message, opset, allowed=f"{first} to {last}"))


def finish(path: Path, about: dict[str, Any], options: OnnxOptions) -> int:
    """Name or fix the batch axis, put what the export says of itself into `metadata_props`; returns the opset.

    Raises:
        RunFailed: the model has another opset than it should: torch keeps its own if it cannot convert.
    """
    import onnx

    model = onnx.load(path)
    (opset,) = (int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if options.opset not in (None, opset):
        raise RunFailed(
            f"this student cannot be exported to opset {options.opset} of ONNX: torch wrote opset {opset}"
        )
    _set_batch(model, options.batch)
    onnx.helper.set_model_props(model, as_texts({**about, "onnx": {"opset": opset}}))
    model.doc_string = f"{about['model']['name']}, the student of run {about['run']}"
    onnx.save(model, path)
    return opset


def _set_batch(model: Any, batch: int | None) -> None:
    """Give the free axis its name, where torch has written a symbol of its own, or a size."""
    graph = model.graph
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if not symbol:
        return
    if batch is not None:  # the shapes between input and output are found again from these
        del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param != symbol:
                continue
            if batch is None:
                size.dim_param = BATCH
            else:
                size.dim_value = batch
