"""The paths in a spec: made absolute, and looked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from kdcore.errors import Problem, nearest

SLASHES: Final = "between folders write '/', which works on every system"


def absolute(text: str, base: Path) -> str:
    """A path of the spec, `~` and relative ones included, as seen from the folder `base`."""
    return os.path.abspath(base / os.path.expanduser(text))  # noqa: PTH100, PTH111  # links stay, ~nobody is not an error


def kind_of(path: str | Path) -> Literal["file", "folder"] | None:
    """What is there; None for nothing and for what no path can be."""
    if os.path.isdir(path):  # noqa: PTH112  # pathlib raises where a name is too long or forbidden
        return "folder"
    return "file" if os.path.exists(path) else None  # noqa: PTH110


def neighbour(path: str | Path) -> str | None:
    """The path with the name most like its own among what lies in its folder."""
    path = Path(path)
    try:
        names = [item.name for item in path.parent.iterdir() if not item.name.startswith(".")]
    except (OSError, ValueError):
        return None
    near = nearest(path.name, names)
    return None if near is None else str(path.parent / near)


def missing(where: str, text: str, path: str, what: str) -> Problem:
    """The problem of a path in the spec that leads nowhere; `text` is how the spec writes it."""
    parent = Path(path).parent
    near, hint = neighbour(path), None
    if kind_of(parent) != "folder":
        hint = f"the folder {parent} does not exist"
    if (portable := with_slashes(text)) is not None:
        near, hint = portable, SLASHES
    return Problem(where, f"there is no {what} {path}", value=text, nearest=near, hint=hint)


def with_slashes(text: str) -> str | None:
    """A path that was written on Windows, as every system reads it; None: it has no backslash that separates here."""
    return text.replace("\\", "/") if "\\" in text and os.sep == "/" else None


def file_in_the_way(path: str) -> str | None:
    """The first part of a path that is a file, so that no folder can be made there."""
    parts = [*reversed(Path(path).parents), Path(path)]
    return next((str(part) for part in parts if kind_of(part) == "file"), None)
