"""Folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from kdcore import Problem, UserError
from kdcore.inspect import EXPORT_ABOUT
from kdcore.plugin import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NotWritable(UserError):
    """A folder cannot be written, as on a full disk."""


@contextlib.contextmanager
def new_folder(path: Path, *, force: bool, mark: str = EXPORT_ABOUT) -> Iterator[Path]:
    """A folder under a temporary name that takes `path`'s place at the end; on an error nothing is left.

    Raises:
        UserError: there is something at `path` that is not an earlier folder of this kind (`mark` is missing), or
            that only `force` replaces.
        NotWritable: it cannot be written.
    """
    remove_leftovers(path.parent)
    check_free(path, force, mark)
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


def check_free(path: Path, force: bool, mark: str = EXPORT_ABOUT) -> None:
    """Raises UserError if `new_folder` would refuse this path."""
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / mark).is_file():
        message = "there is something else here, which is not replaced"
        raise UserError(Problem("--output", message, str(path), hint="another --output"))
    if not force:
        hint = "--force replaces it; another --output keeps it"
        raise UserError(Problem("--output", "an earlier export is here", str(path), hint=hint))
