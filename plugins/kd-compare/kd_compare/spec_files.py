"""Specs that were made in Python, as files like all others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore import Problem, RunSpec, UserError
from kdcore.inspect import read_values

if TYPE_CHECKING:
    from collections.abc import Sequence


def spec_files(
    spec: RunSpec | Mapping[str, Any] | str | Path | Sequence[str | Path], folder: Path
) -> tuple[Path, ...]:
    """The files of the specs; one that was made in Python is written into the folder.

    Raises:
        UserError: a value cannot be written, or it is not a run spec.
    """
    if isinstance(spec, str | Path):
        return (Path(spec),)
    if isinstance(spec, RunSpec):
        return (_written(spec.model_dump(mode="json"), folder),)
    if isinstance(spec, Mapping):
        return (_written(spec, folder),)
    return tuple(Path(path) for path in spec)


def _written(spec: Mapping[str, Any], folder: Path) -> Path:
    """A file of what a dict says; its name is that of a run without one."""
    content, wrong = read_values(spec)
    if wrong:
        raise UserError(wrong)
    if "spec" in content or "variants" in content:
        message = "a dict is one run spec; a comparison is given as a file"
        raise UserError(Problem("spec", message, hint="give the run spec's dict, with distillers=[...]"))
    path = folder / "run.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
