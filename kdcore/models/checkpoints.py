"""Reading weights from files without executing anything that is in them."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from kdcore.errors import Problem, UserError, listed
from kdcore.models.containers import FoundWeights, weights_in
from kdcore.models.file_kinds import kind_of, looks_like_onnx
from kdcore.models.stand_ins import globals_for, not_stood_in, unsafe_names
from kdcore.rundir.student_folder import is_altered

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_ALLOWED = "a safetensors file, a checkpoint of torch or timm, or a run directory"


def read_weights(path: Path, where: str, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """The weights in a file; see `read_checkpoint`."""
    return read_checkpoint(path, where, shapes_only=shapes_only).tensors


def read_checkpoint(path: Path, where: str, *, shapes_only: bool = False) -> FoundWeights:
    """The weights in a safetensors file or a checkpoint of torch or timm, on the CPU.

    What the file is is read from its bytes, not from its name.

    Args:
        path: the file.
        where: the place in the spec that names it.
        shapes_only: the tensors lie on the meta device and their values are not read.

    Raises:
        UserError: there is no such file, it is something else, it holds no weights or weights of a kind that no
            model here has, or reading it would execute code.
    """
    if not path.is_file():
        what = "this folder is not a run directory" if path.is_dir() else "there is no such file"
        raise UserError(Problem(where, what, value=str(path), allowed=_ALLOWED))
    try:
        kind = kind_of(path)
    except OSError as error:
        raise UserError(Problem(where, f"cannot be read: {error.strerror}", value=str(path))) from error
    if kind.reader is None:
        raise UserError(_not_a_checkpoint(path, where, kind.name, kind.hint))
    read = _read_safetensors if kind.reader == "safetensors" else _read_torch
    return read(path, where, shapes_only)


def _not_a_checkpoint(path: Path, where: str, name: str, hint: str) -> Problem:
    return Problem(
        where, f"is not a checkpoint but {name}", value=str(path), allowed=_ALLOWED, hint=hint or None
    )


def _read_safetensors(path: Path, where: str, shapes_only: bool) -> FoundWeights:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if not shapes_only:
                tensors = {name: file.get_tensor(name) for name in names}
                if is_altered(path):
                    raise UserError(_altered(tensors, path, where))
                return weights_in(tensors, path, where)
            shapes = {name: file.get_slice(name).get_shape() for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(
            Problem(where, f"is not a complete safetensors file: {error}", value=str(path))
        ) from error
    return weights_in(
        {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}, path, where
    )


def _altered(tensors: dict[str, Tensor], path: Path, where: str) -> Problem:
    """The weights of a run that are not those that the run wrote."""
    message = "the weights are damaged: their checksum is not the one that the run wrote"
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            message += f"; the weights are not finite: NaN or infinity in {name}"
            break
    hint = "'kd run' on the spec of that run writes them again from its checkpoint"
    return Problem(where, message, value=str(path), hint=hint)


def _read_torch(path: Path, where: str, shapes_only: bool) -> FoundWeights:
    try:
        content = _load(path, "meta" if shapes_only else "cpu")
    except pickle.UnpicklingError as error:
        raise UserError(_refused(path, where, error)) from error
    except Exception as error:  # damaged files raise whatever their bytes happen to lead to
        raise UserError(_unreadable(path, where, error)) from error
    return weights_in(content, path, where)


def _load(path: Path, place: str) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(globals_for(path)):
        warnings.simplefilter("ignore")  # about pickle protocols: what cannot be read is refused below
        # opened here: by its name torch would take the file for safetensors
        with path.open("rb") as file:
            try:
                return torch.load(file, map_location=place, weights_only=True)
            except pickle.UnpicklingError:
                raise
            except Exception:
                if place == "cpu":
                    raise
                file.seek(0)  # some kinds of tensors cannot be without values
                return torch.load(file, map_location="cpu", weights_only=True)


def _unreadable(path: Path, where: str, error: Exception) -> Problem:
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    if pickled and isinstance(error, pickle.UnpicklingError):
        hint = "torch.save(model.state_dict(), FILE) writes one, or safetensors"
        return _not_a_checkpoint(path, where, "a pickle that is not of torch.save", hint)
    if looks_like_onnx(path):
        hint = "save the weights of the PyTorch model it was made from: torch.save(model.state_dict(), FILE)"
        return _not_a_checkpoint(path, where, "an ONNX model", hint)
    return Problem(
        where,
        f"is not a checkpoint that can be read ({type(error).__name__}): damaged, or of another kind",
        value=str(path),
        allowed=_ALLOWED,
    )


def _refused(path: Path, where: str, error: pickle.UnpicklingError) -> Problem:
    hint = "save its weights alone: torch.save(model.state_dict(), FILE), or as safetensors"
    names = not_stood_in(unsafe_names(path))
    modules = [name for name in names if name.startswith("torch.nn.modules.")]
    if modules:
        return Problem(
            where,
            f"refused: it would execute code ({listed(names, 3)}): it holds a whole pickled model, not its weights",
            value=str(path),
            hint=hint,
        )
    if names:
        message = f"refused: it would execute code ({listed(names, 3)}); weights need none"
        return Problem(where, message, value=str(path), hint=hint)
    return _unreadable(path, where, error)
