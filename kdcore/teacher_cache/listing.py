"""The caches on the disk: find, describe, verify and remove them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdcore.errors import Problem, UserError
from kdcore.teacher_cache.manifest import CHECKSUMS, NAME, Manifest, NoCache
from kdcore.teacher_cache.row_files import RowFiles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class CacheInfo:
    """A cache on the disk.

    Attributes:
        path: its folder.
        manifest: its description; None if it is damaged.
        problem: the reason why it cannot be read; None if it can.
        filled: the number of filled rows.
        bytes_used: size on the disk; missing rows take no space.
    """

    path: Path
    manifest: Manifest | None
    problem: str | None
    filled: int
    bytes_used: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        about: dict[str, Any] = {"path": str(self.path), "problem": self.problem}
        if (manifest := self.manifest) is not None:
            about |= {
                "teacher": manifest.teacher,
                "dataset": manifest.dataset,
                "samples": manifest.samples or None,  # of a stream, nobody counts them
                "augmentations": manifest.augmentations,
                "classes": manifest.num_classes,
                "top_k": manifest.top_k,
                "fields": [
                    {"name": field.name, "shape": list(field.shape), "dtype": field.dtype}
                    for field in manifest.fields
                ],
                "rows": manifest.rows or None,
                "filled": self.filled,
                "created": manifest.created,
                "kdcore": manifest.kdcore,
                "digest": manifest.digest,
                "identity": manifest.identity,
            }
        return {**about, "bytes": self.bytes_used}


@dataclass(frozen=True)
class CacheCheck:
    """The result of reading all rows of a cache.

    Attributes:
        cache: the cache.
        damaged: the rows whose checksum is wrong; a run computes them again.
    """

    cache: CacheInfo
    damaged: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether the cache can be read and all its rows are valid."""
        return self.cache.problem is None and not self.damaged


def find_caches(folders: Iterable[Path]) -> list[CacheInfo]:
    """Every cache in or below these folders, by path.

    Raises:
        UserError: a folder does not exist.
    """
    found: dict[Path, CacheInfo] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(Problem(str(folder), "this folder does not exist"))
        for checksums in folder.rglob(CHECKSUMS):
            if not checksums.parent.name.startswith("."):  # a cache that is being created
                found[checksums.parent] = look_at(checksums.parent)
    return [found[path] for path in sorted(found)]


def look_at(path: Path) -> CacheInfo:
    """Describe the cache in a folder.

    Raises:
        UserError: the folder is not a cache.
    """
    if not (path / NAME).is_file() and not (path / CHECKSUMS).is_file():
        hint = "'kd cache list FOLDER' finds the caches in or below a folder"
        raise UserError(Problem(str(path), "not a teacher cache", hint=hint))
    used = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
    try:
        manifest = Manifest.read(path)
    except NoCache as error:
        return CacheInfo(path, None, str(error), 0, used)
    filled = int(np.count_nonzero(np.fromfile(path / CHECKSUMS, "<u4")))
    return CacheInfo(path, manifest, None, filled, used)


def damaged_rows(info: CacheInfo) -> list[int]:
    """The rows whose checksum is wrong; reads all filled rows."""
    manifest = info.manifest
    if manifest is None:
        return []
    rows = RowFiles(info.path, manifest, write=False)
    try:
        filled = rows.filled()
        return [int(row) for row in filled[~rows.there(filled)]]
    finally:
        rows.close()


def remove(info: CacheInfo) -> None:
    """Delete a cache; runs that use it may fail or continue, depending on the operating system."""
    shutil.rmtree(info.path)
