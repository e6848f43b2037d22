"""State as safetensors and JSON: nested containers of tensors and plain values, without pickle."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from kdcore.rundir.files import atomic
from kdcore.rundir.sharded_state import Sharded

if TYPE_CHECKING:
    from pathlib import Path


class Damaged(Exception):
    """A state file is damaged or missing."""


def write_state(path: Path, state: Any) -> str:
    """Write `state` to one safetensors file whose header holds the structure; return the file's SHA-256.

    Raises:
        TypeError: the state holds something other than tensors, containers and plain values.
    """
    content = pack(state)
    with atomic(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_state(path: Path, digest: str) -> Any:
    """Read a file of `write_state`.

    Raises:
        Damaged: the file is missing or its SHA-256 is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{path.name} is damaged: its checksum is wrong")
    return unpack(content)


def pack(state: Any) -> bytes:
    """The bytes that `write_state` writes.

    Raises:
        TypeError: the state holds something other than tensors, containers and plain values.
    """
    tensors: dict[str, Tensor] = {}
    structure = _flatten(state, tensors)
    return save_tensors(tensors, metadata={"structure": json.dumps(structure)})


def unpack(content: bytes) -> Any:
    """The state in the bytes of `pack`: tensors are on the CPU, every dict is a plain one."""
    length = int.from_bytes(content[:8], "little")
    structure = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["structure"])
    return _unflatten(structure, load_tensors(content))


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        key = str(len(tensors))
        # a copy, since safetensors refuses tensors that share memory
        tensors[key] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": key}
    if isinstance(value, dict):
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_flatten(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_flatten(item, tensors) for item in value]
    if isinstance(value, Sharded):
        return {"sharded": [value.key, list(value.shape), str(value.dtype).removeprefix("torch.")]}
    if isinstance(value, torch.dtype):  # an optimizer's settings may hold a number format
        return {"dtype": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"the state holds {type(value).__name__}, which neither safetensors nor JSON can store")


def _unflatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unflatten(item, tensors) for item in value]
    if isinstance(value, dict):
        (kind, content), *_ = value.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "tuple":
            return tuple(_unflatten(item, tensors) for item in content)
        if kind == "sharded":
            return Sharded(content[0], tuple(content[1]), getattr(torch, content[2]))
        if kind == "dtype":
            return getattr(torch, content)
        return {key: _unflatten(item, tensors) for key, item in content}
    return value
