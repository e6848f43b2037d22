"""Core ML: an ML program for Apple's devices, which takes images and gives the names of classes."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from kd_export.about import as_texts
from kd_export.formats.half import TOLERANCE
from kd_export.formats.options import CoreMLOptions
from kd_export.formats.quietly import quietly
from kdcore import ExportedFiles, Problem, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from kdcore.inspect import RunStudent

FILE: Final = "model.mlpackage"
CLASS: Final = "class"
PROBABILITIES: Final = "probabilities"
_INPUTS: Final = {"image": "image", "array": "images"}
_TARGET: Final = "iOS15"  # and macOS 12: the first systems that have ML programs
_LOAD: Final = """
model = coremltools.models.MLModel(
    str(folder / "{file}"), compute_units=coremltools.ComputeUnit.CPU_ONLY
)
taken = ABOUT["input"]

def given(image):
    {given}

return lambda images: np.concatenate(
    [model.predict({{"{input}": given(image)}})["{output}"].reshape(1, -1) for image in images]
)
"""
_GIVEN: Final = {
    "array": "return image[None]",
    # the pixels again, as they were before `prepared` normalised them
    "image": """pixels = 255 * (image.transpose(1, 2, 0) * np.float32(taken["std"]) + np.float32(taken["mean"]))
    pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)""",
}


class Pixels(nn.Module):
    """A student that normalises its images itself, and gives probabilities as well if it is a classifier.

    Args:
        model: the student.
        mean: of each channel, for pixels from 0 to 1; None: the images are normalised already.
        std: the same.
        classifier: whether the probabilities come first, and the logits second.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, mean: tuple[float, ...] | None, std: tuple[float, ...], *, classifier: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.classifier = classifier
        self.normalised = mean is None
        self.register_buffer("mean", 255 * torch.tensor(mean or ()).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pixels `[B, C, H, W]` from 0 to 255, or normalised images -> `[B, K]`, once or twice."""
        if not self.normalised:
            images = (images - self.mean) / self.std
        logits: Tensor = self.model(images)
        return (logits.softmax(1), logits) if self.classifier else logits


def write_coreml(
    student: RunStudent,
    folder: Path,
    about: dict[str, Any],
    *,
    fp16: bool = False,
    options: CoreMLOptions | None = None,
) -> ExportedFiles:
    """`model.mlpackage` for one image at a time, with `fp16` in half precision.

    Raises:
        UserError: Core ML has no image type for the student's channels.
        RunFailed: torch or coremltools cannot export this student.
    """
    kind = (options or CoreMLOptions()).input
    if kind == "image" and about["input"]["mode"] is None:
        message = (
            f"Core ML's images are grey or RGB, and those of this student have {student.in_chans} channels"
        )
        raise UserError(Problem("--option.input", message, kind, hint="--option input=array"))
    # with several labels an image, or none, there is no class to name
    named = about["classes"] is not None and student.num_classes > 0 and "thresholds" not in about
    with quietly("coreml"), contextlib.redirect_stderr(io.StringIO()):  # bars of progress
        model = _converted(student, about, kind=kind, named=named, fp16=fp16)
        for key, text in as_texts(about).items():
            model.user_defined_metadata[key] = text
        model.short_description = f"{about['model']['name']}, the student of run {about['run']}"
        model.save(str(folder / FILE))
        # not a part of the model
        (folder / FILE / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    facts = {"input": _INPUTS[kind], "classifier": named, "precision": "fp16" if fp16 else "fp32"}
    return ExportedFiles(
        files=[FILE],
        load=_LOAD.format(file=FILE, given=_GIVEN[kind], input=_INPUTS[kind], output=student.output[0]),
        imports=["import coremltools"],
        needs=["coremltools"],
        exact=not fp16,
        tolerance=TOLERANCE if fp16 else None,
        platforms=["darwin"],
        about={"coreml": {**facts, "target": _TARGET}},
    )


def _converted(student: RunStudent, about: dict[str, Any], *, kind: str, named: bool, fp16: bool) -> Any:
    """The model of coremltools."""
    import coremltools as ct

    taken = student.input
    wrapped = Pixels(student.model, taken.mean if kind == "image" else None, taken.std, classifier=named)
    with torch.inference_mode(False), torch.no_grad():
        # the tracer's graphs have casts that coremltools 9 cannot fold with NumPy 2.4: torch.export's have not
        program = torch.export.export(wrapped.eval(), (student.example(1),)).run_decompositions({})
    nodes = program.graph.find_nodes(op="output")[0].args[0]
    more: dict[str, Any] = {}
    if named:
        labels = [str(name) for name in about["classes"]]
        more["classifier_config"] = ct.ClassifierConfig(
            labels, predicted_feature_name=CLASS, predicted_probabilities_output=nodes[0].name
        )
    layout = ct.colorlayout.GRAYSCALE if student.in_chans == 1 else ct.colorlayout.RGB
    image = ct.ImageType(name=_INPUTS[kind], color_layout=layout)
    model = ct.convert(
        program,
        inputs=[image if kind == "image" else ct.TensorType(name=_INPUTS[kind])],
        compute_precision=ct.precision.FLOAT16 if fp16 else ct.precision.FLOAT32,
        minimum_deployment_target=getattr(ct.target, _TARGET),
        skip_model_load=True,
        **more,
    )
    spec = model.get_spec()
    for old, new in ((nodes[-1].name, student.output[0]), (f"{CLASS}_probs", PROBABILITIES)):
        ct.utils.rename_feature(spec, old, new)
    return ct.models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)
