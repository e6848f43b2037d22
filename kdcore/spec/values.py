"""The values of a file, or of a dict, before anything is checked: for those who decide by them what to load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore.spec.files import find_file, read_file
from kdcore.spec.json_values import plain
from kdcore.spec.overrides import Overrides
from kdcore.spec.value_sources import Origins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kdcore.errors import Problem


def read_values(
    source: Path | Mapping[Any, Any], overrides: Sequence[str] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """What a JSON, TOML or YAML file holds, or a dict, as JSON values, and the problems of what is left out.

    Args:
        source: the file, a run directory, or the dict.
        overrides: `key.path=value`, as for `--set`; those that cannot be applied are ignored.

    Raises:
        UserError: the file cannot be read.
    """
    if isinstance(source, Path):
        label = str(source)
        source = read_file(find_file(source, label), label)
    values, faults = plain(dict(source))
    Overrides(overrides, Origins()).apply(values)
    return values, [fault.problem for fault in faults]
