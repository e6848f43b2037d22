"""OpenVINO's intermediate representation: for Intel's and other CPUs, GPUs and NPUs, in batches of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_export.about import as_texts
from kd_export.formats.programs import exported_program
from kd_export.formats.quietly import quietly
from kd_export.formats.saturation import IMPORTS, SATURATES
from kd_export.quantize.export import LEARNED, calibrated, in_integers, is_rounded
from kdcore import ExportedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect import RunStudent

FILES: Final = ("model.xml", "model.bin")
INPUT: Final = "images"
# without the hint, a CPU that has bfloat16 computes in it
_OPTIONS: Final = """
core, options = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
"""
_FLOATS: Final = f"""{SATURATES}
if saturates:  # float32 with the rounding of 8 bits: slower, and right
    options["LP_TRANSFORMS_MODE"] = "NO"
"""
_LOAD: Final = f"""
compiled = core.compile_model(folder / "{FILES[0]}", "CPU", options)
return lambda images: compiled(images)[0]
"""


def write_openvino(
    student: RunStudent, folder: Path, about: dict[str, Any], *, int8: bool = False
) -> ExportedFiles:
    """`model.xml`, the graph with classes and preprocessing in its runtime information, and `model.bin`, its weights.

    Raises:
        UserError: the training images, which the quantisation needs, are not available.
        RunFailed: torch cannot export this student, or OpenVINO cannot convert it.
    """
    more: dict[str, Any] = {}
    traced = student
    if int8:
        rounded, facts = (student, LEARNED) if is_rounded(student) else calibrated(student)
        traced = in_integers(rounded, unsigned=True, multiplied=True)
        more["int8"] = {**facts, "format": "weights int8 per channel, activations uint8"}
    with quietly("openvino with --int8" if int8 else "openvino"):
        import openvino

        model = openvino.convert_model(exported_program(traced))
        # torch's program has one free size, that of the batch; the conversion makes others free as well
        model.reshape({0: [-1, student.in_chans, *student.input.image_size]})
        model.inputs[0].get_tensor().set_names({INPUT})
        model.outputs[0].get_tensor().set_names({student.output[0]})
        for key, text in as_texts({**about, **more}).items():
            model.set_rt_info(text, ["kd", key])
        openvino.save_model(model, folder / FILES[0], compress_to_fp16=False)
    return ExportedFiles(
        files=[*FILES],
        load="".join([_OPTIONS, *([_FLOATS] if int8 else []), _LOAD]),
        imports=[*(IMPORTS if int8 else ()), "import openvino"],
        needs=["openvino"],
        exact=not int8,
        about=more,
    )
