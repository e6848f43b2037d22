"""What an exporter returned, compared with what it wrote: every file that it names has to be in its folder."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdcore import ExportedFiles
from kdcore.inspect import EXPORT_ABOUT, EXPORT_SCRIPT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def checked(returned: object, folder: Path, about: Mapping[str, Any]) -> ExportedFiles | str:
    """The exporter's answer with the files' names in the folder, or what is wrong with it, as the end of a sentence.

    Args:
        returned: what the exporter returned.
        folder: the folder that it was given, alone in its parent.
        about: the facts that `kd.json` has already.
    """
    found = _as_files(returned)
    if isinstance(found, str):
        return found
    if not folder.is_dir():
        return "removed the folder that it was given"
    if others := [path.name for path in folder.parent.iterdir() if path != folder]:
        return f"wrote {others[0]!r} next to the folder that it was given"
    names = _names(found.files, folder)
    if isinstance(names, str):
        return names
    return (
        _wrong_entry(folder)
        or _wrong_code(found)
        or _wrong_about(found.about, about)
        or replace(found, files=names)
    )


def _as_files(returned: object) -> ExportedFiles | str:
    if isinstance(returned, ExportedFiles):
        return returned
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | Mapping):
        kind = type(returned).__name__
        return f"returned {kind}; it must return the paths of its files, or kdcore.ExportedFiles"
    try:
        return ExportedFiles(files=list(returned))
    except ValueError as error:
        return f"returned something else than the paths of its files: {error}"


def _names(files: Sequence[Any], folder: Path) -> list[str] | str:
    names = []
    home = folder.resolve()
    for file in files:
        path = folder / file
        if not path.resolve().is_relative_to(home) or path.resolve() == home:
            return f"names {str(file)!r}, which is outside of the folder that it was given"
        if not path.exists():
            return f"names {str(file)!r}, which it did not write into the folder that it was given"
        names.append(path.resolve().relative_to(home).as_posix())
    return names


def _wrong_entry(folder: Path) -> str | None:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            return f"wrote {name!r} as a link; an export has to be whole in its folder"
        if name in (EXPORT_ABOUT, EXPORT_SCRIPT):
            return f"wrote {name!r}, which kd export writes itself"
    return None


def _wrong_code(found: ExportedFiles) -> str | None:
    code = "\n".join(
        [*found.imports, "def load(folder):", textwrap.indent(body(found), "    ") or "    pass"]
    )
    try:
        ast.parse(code)
    except (SyntaxError, ValueError) as error:
        return f"has no valid Python as 'imports' and 'load': {error.args[0]}"
    return None


def body(found: ExportedFiles) -> str:
    """The lines of the script's function `load`, not indented."""
    return textwrap.dedent(found.load).strip("\n")


def _wrong_about(added: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
    if taken := [key for key in added if key in about or key in ("check", "files")]:
        return f"has {taken[0]!r} in 'about', which {EXPORT_ABOUT} has already"
    try:
        json.dumps(dict(added), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"has something in 'about' that is not JSON: {error}"
    return None
