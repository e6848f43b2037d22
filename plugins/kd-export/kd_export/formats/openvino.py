"""OpenVINO's intermediate representation: for Intel's and other CPUs, GPUs and NPUs, in batches of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kd_export.about import as_texts
from kd_export.formats.programs import exported_program
from kd_export.formats.quietly import quietly
from kdcore import ExportedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.inspect import RunStudent

FILES: Final = ("model.xml", "model.bin")
INPUT: Final = "images"
# without the hint, a CPU that has bfloat16 computes in it
_LOAD: Final = f"""
core = openvino.Core()
compiled = core.compile_model(folder / "{FILES[0]}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
return lambda images: compiled(images)[0]
"""


def write_openvino(student: RunStudent, folder: Path, about: dict[str, Any]) -> ExportedFiles:
    """`model.xml`, the graph with classes and preprocessing in its runtime information, and `model.bin`, its weights.

    Raises:
        RunFailed: torch cannot export this student, or OpenVINO cannot convert it.
    """
    with quietly("openvino"):
        import openvino

        model = openvino.convert_model(exported_program(student))
        # torch's program has one free size, that of the batch; the conversion makes others free as well
        model.reshape({0: [-1, student.in_chans, *student.input.image_size]})
        model.inputs[0].get_tensor().set_names({INPUT})
        model.outputs[0].get_tensor().set_names({student.output[0]})
        for key, text in as_texts(about).items():
            model.set_rt_info(text, ["kd", key])
        openvino.save_model(model, folder / FILES[0], compress_to_fp16=False)
    return ExportedFiles(files=[*FILES], load=_LOAD, imports=["import openvino"], needs=["openvino"])
