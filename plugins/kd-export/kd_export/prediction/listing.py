"""The images to predict: files, folders with everything below them, tables with a column of paths, standard input."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdcore import Problem, UserError
from kdcore.inspect import images_below_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def list_images(given: Sequence[str | Path]) -> Listed:
    """All images of what was given, in that order.

    Raises:
        UserError: something does not exist, or there are no images.
    """
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
            below += [os.path.relpath(file, path) for file in found]
            notes += left
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


def _lines() -> list[str]:
    """The paths on standard input, one a line, or with a zero byte after each (`find -print0`)."""
    data = sys.stdin.buffer.read()
    separator = b"\0" if b"\0" in data else b"\n"
    parts = (part.removesuffix(b"\r") if separator == b"\n" else part for part in data.split(separator))
    return [os.fsdecode(part) for part in parts if part.strip()]
