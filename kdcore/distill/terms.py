"""Check the loss terms of a distiller, because its code comes from a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdcore.errors import RunFailed
from kdcore.plugins.owner import owned


def checked_terms(distiller: str, terms: Any, source: object = None) -> Mapping[str, Tensor]:
    """Return the terms if they are named scalars.

    Args:
        distiller: its name in the run.
        terms: what it returned.
        source: the distiller itself.

    Raises:
        RunFailed: they are something else; the message names the distiller and its plugin.
    """
    if not isinstance(terms, Mapping):
        raise _wrong(
            distiller, source, f"returned {_kind(terms)}; it must return a dictionary of named scalars"
        )
    for name, value in terms.items():
        if not isinstance(name, str):
            raise _wrong(distiller, source, f"names a loss term {name!r}; a name must be text")
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
            raise _wrong(
                distiller,
                source,
                f"gave {_kind(value)} as loss term '{name}'; a tensor with one real number, of shape [], is required",
            )
    return terms


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return f"{value!r}" if value is None or isinstance(value, bool | int | float) else type(value).__name__


def _wrong(distiller: str, source: object, what: str) -> RunFailed:
    named = owned(f"distiller '{distiller}'", source)
    return RunFailed(f"{named} {what}. This is a bug in the plugin of this distiller")
