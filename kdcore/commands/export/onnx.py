"""ONNX, by torch's exporter: for batches of any size, with classes and preprocessing in its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from kdcore.commands.export.about import as_texts
from kdcore.commands.export.programs import exported_program
from kdcore.commands.export.targets import Written, quietly

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.commands.export.recipe import BuildRecipe
    from kdcore.commands.export.students import RunStudent

FILE: Final = "model.onnx"
INPUT: Final = "images"
OUTPUT: Final = "logits"
_BODY: Final = (
    f'session = onnxruntime.InferenceSession(folder / "{FILE}", providers=["CPUExecutionProvider"])',
    f'return lambda images: session.run(["{OUTPUT}"], {{"{INPUT}": images}})[0]',
)


def write_onnx(student: RunStudent, folder: Path, about: dict[str, Any], recipe: BuildRecipe) -> Written:
    """`model.onnx`."""
    path = folder / FILE
    with quietly("onnx"):
        program = torch.onnx.export(
            exported_program(student), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False
        )
        assert program is not None
        program.save(path)
    add_metadata(path, about)
    return Written(("onnxruntime",), ("import onnxruntime",), _BODY)


def add_metadata(path: Path, about: dict[str, Any]) -> None:
    """Put what the export says of itself into `metadata_props`."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, as_texts(about))
    model.doc_string = f"{about['model']['name']}, the student of run {about['run']}"
    onnx.save(model, path)
