"""The caches that lie around: found, described, verified, removed."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdcore.errors import Problem, UserError
from kdcore.teacher_cache.manifest import CHECKSUMS, NAME, Manifest, NoCache

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class CacheInfo:
    """A cache on the disk.

    Attributes:
        path: its folder.
        manifest: what it holds; None where it is damaged.
        problem: why it cannot be read; None where it can.
        filled: rows that are there.
        bytes_used: on the disk; rows that are not there take none.
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
                "samples": manifest.samples,
                "augmentations": manifest.augmentations,
                "classes": manifest.num_classes,
                "top_k": manifest.top_k,
                "fields": [
                    {"name": field.name, "shape": list(field.shape), "dtype": field.dtype}
                    for field in manifest.fields
                ],
                "rows": manifest.rows,
                "filled": self.filled,
                "created": manifest.created,
                "kdcore": manifest.kdcore,
                "digest": manifest.digest,
                "identity": manifest.identity,
            }
        return {**about, "bytes": self.bytes_used}


@dataclass(frozen=True)
class CacheCheck:
    """A cache whose rows were all read.

    Attributes:
        cache: what it is.
        damaged: the rows that do not fit their checksum; a run computes them again.
    """

    cache: CacheInfo
    damaged: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether it can be read and all its rows are whole."""
        return self.cache.problem is None and not self.damaged


def find_caches(folders: Iterable[Path]) -> list[CacheInfo]:
    """Every cache in or below these folders, by path.

    Raises:
        UserError: a folder does not exist.
    """
    found: dict[Path, CacheInfo] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(Problem(str(folder), "there is no such folder"))
        for checksums in folder.rglob(CHECKSUMS):
            if not checksums.parent.name.startswith("."):  # one that is being made
                found[checksums.parent] = look_at(checksums.parent)
    return [found[path] for path in sorted(found)]


def look_at(path: Path) -> CacheInfo:
    """What is in a cache's folder.

    Raises:
        UserError: it is no cache.
    """
    if not (path / NAME).is_file() and not (path / CHECKSUMS).is_file():
        hint = "'kd cache list FOLDER' finds those below a folder"
        raise UserError(Problem(str(path), "this is no teacher cache", hint=hint))
    used = sum(file.stat().st_blocks * 512 for file in path.iterdir() if file.is_file())
    try:
        manifest = Manifest.read(path)
    except NoCache as error:
        return CacheInfo(path, None, str(error), 0, used)
    filled = int(np.count_nonzero(np.fromfile(path / CHECKSUMS, "<u4")))
    return CacheInfo(path, manifest, None, filled, used)


def damaged_rows(info: CacheInfo) -> list[int]:
    """The rows whose numbers do not fit their checksum; all rows that are there are read."""
    manifest = info.manifest
    if manifest is None:
        return []
    arrays = [
        np.memmap(info.path / f"{field.name}.bin", np.uint8, "r", shape=(manifest.rows, field.row_bytes))
        for field in manifest.fields
    ]
    checksums = np.fromfile(info.path / CHECKSUMS, "<u4")
    damaged = []
    for row in np.flatnonzero(checksums):
        value = 0
        for array in arrays:
            value = zlib.crc32(array[row].tobytes(), value)
        if (value or 1) != int(checksums[row]):
            damaged.append(int(row))
    return damaged


def remove(info: CacheInfo) -> None:
    """Delete a cache; runs that use it meanwhile fail or go on without noticing, as their system has it."""
    shutil.rmtree(info.path)
