"""The images to predict: files, folders with everything below them, tables with a column of paths, standard input."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore import Problem, UserError
from kdcore.inspect import TABLES, files_of_table, images_below_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STDIN: Final = "-"


@dataclass(frozen=True)
class Listed:
    """Images in their order.

    Attributes:
        paths: where they are.
        below: for each the part of its path that `--organize` keeps.
        notes: what was left out, a line each.
    """

    paths: tuple[str, ...]
    below: tuple[str, ...]
    notes: tuple[str, ...]


def list_images(
    given: Sequence[str | Path],
    column: str | None = None,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Listed:
    """All images of what was given, in that order.

    Args:
        given: files, folders, tables, or "-".
        column: the column of files in a table; None: one of the usual names.
        root: the folder that the paths in a table are relative to; None: that of the table.
        options: how a table is read, as `data.options` of a spec.

    Raises:
        UserError: something does not exist, a table cannot be read, or there are no images.
    """
    tables = [one for one in given if Path(one).suffix.lower() in TABLES]
    flags = (("--column", column), ("--root", root), ("--table-option", dict(options or {}) or None))
    for flag, value in flags:
        if value is not None and not tables:
            message = f"this is for tables, which end in {' '.join(TABLES)}; none is given"
            raise UserError(Problem(flag, message, str(value), hint="leave it out"))
    paths: list[str] = []
    below: list[str] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for one in given:
        path = Path(one)
        if str(one) == STDIN:
            lines = _lines()
            paths += lines
            below += [Path(line).name for line in lines]
        elif path.is_dir():
            try:
                found, left = images_below_folder(path)
            except OSError as error:
                problems.append(Problem("IMAGES", f"{path} cannot be listed: {error.strerror or error}"))
                continue
            paths += found
            below += [Path(os.path.relpath(file, path)).as_posix() for file in found]
            notes += left
        elif path.exists() and one in tables:
            found = files_of_table(path, column, None if root is None else Path(root), options)
            paths += found
            base = path.parent if root is None else Path(root)
            below += [_below(file, base) for file in found]
        elif path.exists():
            paths.append(str(one))
            below.append(path.name)
        else:
            problems.append(Problem("IMAGES", "there is no such file or folder", str(one)))
    if problems:
        raise UserError(problems)
    if not paths:
        message = "there are no images"
        raise UserError(Problem("IMAGES", message, ", ".join(map(str, given)), hint="\n".join(notes) or None))
    return Listed(tuple(paths), tuple(below), tuple(notes))


def _below(file: str, folder: Path) -> str:
    """The path below a folder, or the name of a file that lies elsewhere."""
    inside = Path(file).is_relative_to(folder)
    return Path(os.path.relpath(file, folder)).as_posix() if inside else Path(file).name


def _lines() -> list[str]:
    """The paths on standard input, one a line, or with a zero byte after each (`find -print0`)."""
    data = sys.stdin.buffer.read()
    separator = b"\0" if b"\0" in data else b"\n"
    parts = (part.removesuffix(b"\r") if separator == b"\n" else part for part in data.split(separator))
    return [os.fsdecode(part) for part in parts if part.strip()]
