"""Folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdcore import Problem, UserError
from kdcore.inspect import EXPORT_ABOUT
from kdcore.plugin import listed, remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class NotWritable(UserError):
    """A folder cannot be written, as on a full disk."""


def files_in(folder: Path) -> list[str]:
    """The files in a folder and below, relative to it, with `/`."""
    found = (file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())
    return sorted(file.relative_to(folder).as_posix() for file in found)


def export_files(folder: Path) -> Sequence[str] | None:
    """The files that `kd export` wrote into this folder, as its `kd.json` names them; None: it is not an export."""
    try:
        about: Any = json.loads((folder / EXPORT_ABOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    files = about.get("files") if isinstance(about, dict) else None
    return files if isinstance(files, list) else None


@contextlib.contextmanager
def new_folder(
    path: Path, *, force: bool, written: Callable[[Path], Sequence[str] | None] = export_files
) -> Iterator[Path]:
    """A folder under a temporary name that takes `path`'s place at the end; on an error nothing is left.

    If `path` is a link, the folder takes the place of what it leads to.

    Raises:
        UserError: as by `check_free`.
        NotWritable: it cannot be written.
    """
    path = _real(path)
    remove_leftovers(path.parent, name=path.name)
    check_free(path, force, written)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        hint = "another --output"
        raise NotWritable(
            Problem("--output", f"{path} cannot be written: {error.strerror or error}", hint=hint)
        ) from error
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def check_free(
    path: Path, force: bool, written: Callable[[Path], Sequence[str] | None] = export_files
) -> None:
    """Check that `new_folder` accepts this path.

    Args:
        path: the folder.
        force: whether an earlier folder of this kind may be replaced.
        written: the files that kd wrote into a folder of this kind; None: it is of another kind.

    Raises:
        UserError: something else is at `path`, the folder has other files too, or only `force` replaces it. Or it is
            the current folder or one around it.
    """
    path, here = _real(path), _real(Path())
    if not path.name or path in (here, *here.parents):
        message = "this is the current folder or one around it, which a new folder cannot replace"
        raise UserError(Problem("--output", message, str(path), hint="use another --output"))
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    own = written(path)
    if own is None:
        message = "there is something else here, which is not replaced"
        raise UserError(Problem("--output", message, str(path), hint="another --output"))
    if not force:
        hint = "--force replaces it; another --output keeps it"
        raise UserError(Problem("--output", "an earlier export is here", str(path), hint=hint))
    others = [name for name in files_in(path) if name not in own and "__pycache__" not in name.split("/")]
    if others:
        message = f"an earlier export is here, with files that kd did not write: {listed(others, 6)}"
        hint = "move them to another folder, or use another --output"
        raise UserError(Problem("--output", message, str(path), hint=hint))


def _real(path: Path) -> Path:
    """The same without links and dots: a path that has a name, and whose folder can be renamed."""
    return Path(os.path.realpath(path))
