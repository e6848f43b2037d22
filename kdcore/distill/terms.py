"""Check the loss terms of a distiller, because its code comes from a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdcore.errors import RunFailed


def checked_terms(distiller: str, terms: Any) -> Mapping[str, Tensor]:
    """Return the terms if they are named scalars.

    Raises:
        RunFailed: they are something else; the message names the distiller.
    """
    if not isinstance(terms, Mapping):
        raise _wrong(distiller, f"returned {_kind(terms)}; it must return a dictionary of named scalars")
    for name, value in terms.items():
        if not isinstance(name, str):
            raise _wrong(distiller, f"names a loss term {name!r}; a name must be text")
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
            raise _wrong(
                distiller,
                f"gave {_kind(value)} as loss term '{name}'; a tensor with one real number, of shape [], is required",
            )
    return terms


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return f"{value!r}" if value is None or isinstance(value, bool | int | float) else type(value).__name__


def _wrong(distiller: str, what: str) -> RunFailed:
    return RunFailed(f"distiller '{distiller}' {what}. This is a bug in the plugin of this distiller")
