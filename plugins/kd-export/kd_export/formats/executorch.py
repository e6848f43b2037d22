"""ExecuTorch: a program for phones and boards, with XNNPACK's kernels for their CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kd_export.formats.programs import exported_program
from kd_export.formats.quietly import quietly
from kd_export.quantize.export import LEARNED, in_integers, is_rounded
from kdcore import ExportedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from kdcore.inspect import RunStudent

FILE: Final = "model.pte"
_FORMAT: Final = "weights int8 per channel, activations int8"
# the program is for one image: its memory is planned when it is written
_LOAD: Final = f"""
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its import warns that its own interface may change
    from executorch.runtime import Runtime

program = Runtime.get().load_program(folder / "{FILE}")
method = program.load_method("forward")

def student(images):
    return np.concatenate([method.execute([torch.from_numpy(image[None])])[0].numpy() for image in images])

return student
"""


def write_executorch(
    student: RunStudent, folder: Path, about: dict[str, Any], *, int8: bool = False
) -> ExportedFiles:
    """`model.pte` for one image at a time, with `int8` in 8-bit integers.

    Raises:
        UserError: the training images, which the quantisation needs, are not available.
        RunFailed: torch or ExecuTorch cannot export this student.
    """
    more: dict[str, Any] = {}
    model = student.model
    with quietly("executorch with --int8" if int8 else "executorch"):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        if int8 and is_rounded(student):
            # XNNPACK has no linear layer of integers with another output
            model = in_integers(student, unsigned=False, logits=True).model
            more["int8"] = {**LEARNED, "format": f"{_FORMAT}, logits too"}
        elif int8:
            model, more["int8"] = _quantised(student)
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(model, (student.example(1),))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        (folder / FILE).write_bytes(lowered.to_executorch().buffer)
    return ExportedFiles(
        files=[FILE],
        load=_LOAD,
        imports=["import warnings", "import torch"],
        needs=["executorch", "torch"],
        exact=not int8,
        about=more,
    )


def _quantised(student: RunStudent) -> tuple[nn.Module, dict[str, Any]]:
    """The student's graph in 8 bits as XNNPACK computes it, and the facts for `kd.json`."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from kd_export.formats.calibration import CalibrationImages

    images = CalibrationImages(student)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(exported_program(student).module(), quantizer)
    with torch.no_grad():
        for batch in images:
            observed(batch)
    facts = {
        "calibration": images.facts,
        "format": _FORMAT,
    }
    return convert_pt2e(observed), facts
