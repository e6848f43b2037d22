"""Sharded tensors of a state: each process writes its parts, as safetensors without pickle, and reads what it needs.

Source: torch's distributed checkpoints (`torch.distributed.checkpoint`), with the files that Hugging Face's tools read.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER: Final = "shards"
"""Where the parts are, next to the rest of the state."""
_SUFFIX: Final = ".safetensors"

Place = tuple[str | int, ...]
"""Where a tensor is in a state: the keys of the dicts and lists around it."""


@dataclass(frozen=True)
class Sharded:
    """Stands in a state for a tensor whose parts are in files of their own.

    Attributes:
        key: its name in these files.
        shape: of the whole tensor.
        dtype: its number format.
    """

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype


def take_apart(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """The state with a `Sharded` for each sharded tensor, and these tensors by their names."""
    tensors: dict[str, Tensor] = {}

    def taken(value: Any, place: Place) -> Any:
        if not (isinstance(value, Tensor) and is_sharded(value)):
            return value
        key = "/".join(str(part) for part in place)
        tensors[key] = value.detach()
        return Sharded(key, tuple(value.shape), value.dtype)

    return _mapped(state, taken), tensors


def put_together(
    state: Any, folder: Path, like: Callable[[Place], Tensor | None] = lambda place: None
) -> Any:
    """The state with the tensors of `folder` in their places.

    Args:
        state: with `Sharded` tensors.
        folder: of their files.
        like: the tensor of this process that one is for, by its place; of a sharded one only its part is read. None:
            the whole tensor.
    """
    wanted: dict[str, Tensor] = {}

    def given(value: Any, place: Place) -> Any:
        if not isinstance(value, Sharded):
            return value
        own = like(place)
        if own is not None and own.shape == value.shape and is_sharded(own):
            wanted[value.key] = torch.empty_like(own.detach(), dtype=value.dtype)
        else:
            wanted[value.key] = torch.empty(value.shape, dtype=value.dtype)
        return wanted[value.key]

    filled = _mapped(state, given)
    if wanted:
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
        from torch.distributed.checkpoint.state_dict_loader import load

        reader = HuggingFaceStorageReader(str(folder))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            # each process finds its parts by itself: nothing waits for the others
            load(wanted, storage_reader=reader, no_dist=True)
    return filled


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process holds a part of a tensor."""
    from torch.distributed.tensor import DTensor  # importing it takes as long as a small run's step

    return isinstance(tensor, DTensor)


def write_parts(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write this process's parts; all processes have to call it, with the same names."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    save(tensors, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of parts, by its name."""
    found = {}
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _mapped(value: Any, change: Callable[[Any, Place], Any], place: Place = ()) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change, (*place, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_mapped(item, change, (*place, number)) for number, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    return change(value, place)
