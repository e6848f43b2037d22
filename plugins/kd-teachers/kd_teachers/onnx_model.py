"""ONNX files as frozen teachers, computed by onnxruntime on the CPU."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from kd_teachers.libraries import library
from kd_teachers.onnx_digest import onnx_digest
from kdcore import ModelDescription, ModelOutput, Problem, Stage, StageInfo, UserError
from kdcore.plugin import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLACE: Final = "options.path"
_PROGRAMS: Final = (".pt2", ".pt", ".pth", ".jit", ".ts")
_PROCESSOR: Final = ["CPUExecutionProvider"]


class OnnxModel(nn.Module):
    """An ONNX file: `[B, C, H, W]` -> its output `[B, K]`, on the device of the images.

    It has no parameters and no gradient. On the meta device the output has its shape and no values.

    Attributes:
        digest: SHA-256 of the file and its files of weights, as a buffer: kd knows the weights of a teacher by its
            tensors.
        width: K.
    """

    digest: Tensor
    kd_description: ModelDescription

    def __init__(
        self, session: Any, names: tuple[str, str], width: int, fixed_batch: bool, sha256: bytes
    ) -> None:
        super().__init__()
        self._session = session
        self._input, self._output = names
        self._fixed_batch = fixed_batch
        self.width = width
        self.register_buffer("digest", torch.tensor(list(sha256), dtype=torch.uint8, device="cpu"))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor) -> Tensor:
        """The output in float32."""
        if images.device.type == "meta":
            return images.new_empty((images.shape[0], self.width), dtype=torch.float32)
        # a file for batches of one image gets them one by one
        parts = torch.split(images.detach().float().cpu(), 1 if self._fixed_batch else max(len(images), 1))
        found = [
            self._session.run([self._output], {self._input: part.contiguous().numpy()})[0] for part in parts
        ]
        return torch.from_numpy(np.concatenate(found)).float().to(images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxModel:
        """A copy that computes with the same session, which cannot be copied and has no state."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        memo[id(self._session)] = self._session
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


class OnnxAdapter:
    """An ONNX file gives its output: as logits, and as the embedding if an encoder's is asked for."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Raises UserError: the layers of an ONNX file cannot be read."""
        hint = "use a distiller of logits, or of embeddings with teacher.classifier false"
        raise UserError(Problem("", "an ONNX file has no stages", hint=hint))

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """The output of the file; raises UserError for stages."""
        if stages:
            self.stages(model, (0, 0))
        output = model(images)
        return ModelOutput(output, embedding=output if embedding else None)


def build(
    num_classes: int,
    in_chans: int,
    *,
    path: str,
    output: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    classes: tuple[str, ...] | None = None,
) -> nn.Module:
    """The teacher in an ONNX file; the file is opened for the check on the meta device too, to read its shapes.

    Args:
        num_classes: K; 0: the output is an embedding.
        in_chans: channels of the images.
        path: the file.
        output: name of the output; None: the first.
        mean: per channel, of images in 0..1; None: what the file says, or ImageNet's.
        std: per channel.
        classes: names of the classes; None: what the file says.

    Raises:
        UserError: the library is missing, or the file has other inputs or outputs than a classifier.
    """
    if (mean is None) != (std is None):
        missing = "mean" if mean is None else "std"
        raise UserError(Problem(f"options.{missing}", "is missing: give mean and std, or none of them"))
    session = _open(library("onnxruntime", "onnx"), path)
    taken = _only_input(session, path)
    batch, channels, *side = taken.shape
    if isinstance(channels, int) and channels != in_chans:
        raise UserError(_problem(f"it takes images of {channels} channels, not {in_chans}", path))
    if isinstance(batch, int) and batch != 1:
        hint = "export it with a batch size that is free, or 1"
        raise UserError(_problem(f"it takes batches of {batch} images only", path, hint))
    given = _output(session, output, path)
    said = _said(session)
    shapes = said["image_size"] or (32, 32)
    height, width = (n if isinstance(n, int) else other for n, other in zip(side, shapes, strict=True))
    size = (height, width)
    classes_known = given.shape[-1] if given.shape else None
    if not isinstance(classes_known, int):  # the shape is not written in the file: one image shows it
        classes_known = _measured(session, taken.name, given.name, (1, in_chans, *size), path)
    model = OnnxModel(session, (taken.name, given.name), classes_known, batch == 1, onnx_digest(Path(path)))
    fixed = all(isinstance(n, int) for n in side)
    model.kd_description = ModelDescription(
        has_weights=True,
        trainable=False,
        num_classes=classes_known,
        class_names=classes or said["classes"],
        mean=mean or said["mean"],
        std=std or said["std"],
        image_size=size if fixed or said["image_size"] else None,
        fixed_size=fixed,
        interpolation=said["interpolation"],
        place=_PLACE,
        warnings=()
        if mean or said["mean"]
        else (
            "the file does not say the mean and deviation of its images: ImageNet's are used; see options.mean",
        ),
    )
    return model


def _open(onnxruntime: Any, path: str) -> Any:
    if Path(path).suffix.lower() in _PROGRAMS:
        hint = "export the model to ONNX on a machine that trusts it: torch.onnx.export(model, images, FILE)"
        message = (
            "kd does not open TorchScript or exported programs: loading them unpickles or runs their content"
        )
        raise UserError(_problem(message, path, hint))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=_PROCESSOR)
    except Exception as error:  # its exceptions have no common class
        raise UserError(_problem(f"onnxruntime cannot open it: {_line(error)}", path)) from error


def _only_input(session: Any, path: str) -> Any:
    inputs = session.get_inputs()
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].type == "tensor(float)":
        return inputs[0]
    found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
    raise UserError(
        _problem(f"a model for images has one input [B, C, H, W] in float32; this one has: {found}", path)
    )


def _output(session: Any, name: str | None, path: str) -> Any:
    outputs = {one.name: one for one in session.get_outputs()}
    if name is not None and name not in outputs:
        near = nearest(name, outputs)
        problem = Problem("options.output", "the file has no such output", name, ", ".join(outputs), near)
        raise UserError(problem)
    found = outputs[name] if name is not None else next(iter(outputs.values()))
    if found.shape and len(found.shape) != 2:
        raise UserError(_problem(f"its output {found.name} is {found.shape}, and logits are [B, K]", path))
    return found


def _measured(session: Any, taken: str, given: str, shape: tuple[int, ...], path: str) -> int:
    try:
        found = session.run([given], {taken: np.zeros(shape, dtype=np.float32)})[0]
    except Exception as error:
        raise UserError(
            _problem(f"it cannot compute an image of {shape[1:]}: {_line(error)}", path)
        ) from error
    if found.ndim != 2:
        raise UserError(_problem(f"its output {given} is {list(found.shape)}, and logits are [B, K]", path))
    return int(found.shape[1])


def _said(session: Any) -> dict[str, Any]:
    """What the metadata of a file that kd exported say; None for each in other files."""
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    said: dict[str, Any] = {
        "mean": None,
        "std": None,
        "image_size": None,
        "interpolation": "bicubic",
        "classes": None,
    }
    try:
        images = json.loads(metadata["preprocessing"])
        said["mean"], said["std"] = (tuple(float(value) for value in images[key]) for key in ("mean", "std"))
        said["image_size"] = tuple(int(value) for value in images["crop"])
        said["interpolation"] = str(images.get("interpolation", "bicubic"))
    except (KeyError, TypeError, ValueError):
        pass  # somebody else's metadata
    with contextlib.suppress(KeyError, TypeError, ValueError):
        said["classes"] = tuple(str(name) for name in json.loads(metadata["classes"]))
    return said


def _problem(message: str, path: str, hint: str | None = None) -> Problem:
    return Problem(_PLACE, message, value=path, hint=hint)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
