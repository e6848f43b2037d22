"""Reading weights from files without executing anything that is in them."""

from __future__ import annotations

import argparse
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from timm.models import clean_state_dict
from torch import Tensor

from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from pathlib import Path

_HOLDERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training programs keep the weights in a checkpoint; averaged ones first, as timm does."""


def read_weights(path: Path, where: str, *, shapes_only: bool = False) -> dict[str, Tensor]:
    """The weights in a safetensors file or a checkpoint of torch or timm, on the CPU.

    Args:
        path: the file.
        where: the place in the spec that names it.
        shapes_only: the tensors lie on the meta device and their values are not read.

    Raises:
        UserError: there is no such file, it holds no weights, or reading it would execute code.
    """
    if not path.is_file():
        what = "this folder is not a run directory" if path.is_dir() else "there is no such file"
        raise UserError(
            Problem(
                where, what, value=str(path), allowed="a safetensors file, a checkpoint, or a run directory"
            )
        )
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(Problem(where, f"cannot be read: {error.strerror}", value=str(path))) from error
    if path.suffix in (".npz", ".npy"):
        raise UserError(
            Problem(
                where, "NumPy checkpoints are not read", value=str(path), allowed="safetensors or torch files"
            )
        )
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    return read(path, where, shapes_only)


def _read_safetensors(path: Path, where: str, shapes_only: bool) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            if not shapes_only:
                return dict(clean_state_dict({name: file.get_tensor(name) for name in file.keys()}))  # noqa: SIM118
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(Problem(where, f"is no whole safetensors file: {error}", value=str(path))) from error
    return dict(clean_state_dict({name: torch.empty(shape, device="meta") for name, shape in shapes.items()}))


def _read_torch(path: Path, where: str, shapes_only: bool) -> dict[str, Tensor]:
    try:
        # timm's training checkpoints hold their arguments as a Namespace, which holds values and does nothing
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about pickle protocols: what cannot be read is refused below
            content = torch.load(path, map_location="meta" if shapes_only else "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_refused(path, where, str(error))) from error
    except Exception as error:  # damaged files raise whatever their bytes happen to lead to
        raise UserError(
            Problem(
                where,
                f"is no checkpoint that can be read ({type(error).__name__})",
                value=str(path),
                allowed="safetensors or torch files",
            )
        ) from error
    return _weights_in(content, path, where)


def _refused(path: Path, where: str, text: str) -> Problem:
    hint = "save its weights alone as safetensors, with the program that made it"
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not the zip format: the first refused name is in the message only
        names = []
    if names:
        return Problem(
            where,
            f"refused: it would execute code ({listed(names, 3)}); weights need none",
            value=str(path),
            hint=hint,
        )
    if "load key" in text or "Ran out of input" in text:
        return Problem(where, "is no checkpoint", value=str(path), allowed="safetensors or torch files")
    return Problem(where, "refused: it would execute code; weights need none", value=str(path), hint=hint)


def _weights_in(content: Any, path: Path, where: str) -> dict[str, Tensor]:
    if isinstance(content, dict):
        holder = next((name for name in _HOLDERS if isinstance(content.get(name), dict)), None)
        weights = content[holder] if holder else content
        weights = clean_state_dict(weights) if all(isinstance(name, str) for name in weights) else {}
        tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(weights):
            return tensors
    raise UserError(
        Problem(
            where,
            "holds no weights",
            value=str(path),
            allowed="tensors by name, alone or under one of " + ", ".join(_HOLDERS),
        )
    )
