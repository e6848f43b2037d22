"""The files of a cache's rows: a binary file for each field, and the checksums of the rows."""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.rundir.positions import open_at, write_at
from kdcore.teacher_cache.manifest import CHECKSUMS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from kdcore.teacher_cache.manifest import Manifest
    from kdcore.teacher_cache.rows import Field

EMPTY: Final = 0  # the checksum of a missing row


class RowFiles:
    """Rows by their numbers.

    A row is valid once its checksum is written, after its numbers, and as long as the two match. If the number of
    samples is not known (a stream), the files grow with what this process and others write.

    Attributes:
        damaged: how many rows with a wrong checksum were met.
    """

    def __init__(self, path: Path, manifest: Manifest, *, write: bool = True) -> None:
        self.damaged = 0
        self._path, self._fields, self._grows = path, manifest.fields, manifest.grows
        self._writes = write
        how = os.O_RDWR if write else os.O_RDONLY
        self._files = {field.name: open_at(path / f"{field.name}.bin", how) for field in manifest.fields}
        self._checksum_file = open_at(path / CHECKSUMS, how)
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._checksums: npt.NDArray[Any] = np.zeros(0, dtype="<u4")
        self._checked = np.zeros(0, dtype=bool)  # rows that were read and found valid
        self._map(self._on_disk() if self._grows else manifest.rows)

    def __len__(self) -> int:
        """The number of rows that the files have, filled or not."""
        self._follow()
        return len(self._checksums)

    def filled(self) -> npt.NDArray[np.int64]:
        """The numbers of the rows that have a checksum."""
        self._follow()
        found: npt.NDArray[np.int64] = np.flatnonzero(self._checksums)
        return found

    def there(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows are filled and valid; each process checks a row once, when it is first read."""
        if self._grows and len(rows) and int(rows.max()) >= len(self._checksums):
            self._follow()
        there = rows < len(self._checksums)
        there[there] = self._checksums[rows[there]] != EMPTY
        filled = np.flatnonzero(there)
        for place in filled[~self._checked[rows[filled]]]:
            row = int(rows[place])
            if checksum([self._arrays[field.name][row] for field in self._fields]) == int(
                self._checksums[row]
            ):
                self._checked[row] = True
            else:
                there[place] = False
                self.damaged += 1
        found: npt.NDArray[np.bool_] = there
        return found

    def read(self, field: Field, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """A copy of the rows of a field."""
        return np.asarray(self._arrays[field.name][rows])

    def store(self, rows: npt.NDArray[np.int64], values: dict[str, npt.NDArray[Any]]) -> None:
        """Write rows: every field, in its format on the disk."""
        # written through files, not through the maps: on a full disk a map kills the process without a message
        for field in self._fields:
            content = values[field.name]
            for place, row in enumerate(rows):
                write_at(self._files[field.name], content[place].tobytes(), int(row) * field.row_bytes)
        for place, row in enumerate(rows):
            value = checksum([values[field.name][place] for field in self._fields])
            write_at(self._checksum_file, value.to_bytes(4, "little"), 4 * int(row))
        self._follow()
        # read before it counts: on a network file system another host may write an older page over it
        self._checked[rows] = False

    def close(self) -> None:
        """Write the data to the disk and close the files. What is known stays readable.

        Raises:
            OSError: the disk is full or gone; the files are closed.
        """
        if not self._files:
            return
        self._follow()
        handles = (*self._files.values(), self._checksum_file)
        self._files.clear()
        self._grows = False
        with contextlib.ExitStack() as opened:
            for handle in handles:
                opened.callback(os.close, handle)
            if self._writes:
                for handle in handles:
                    os.fsync(handle)

    def _follow(self) -> None:
        """See what was written behind the rows that are known."""
        if self._grows and (rows := self._on_disk()) > len(self._checksums):
            self._map(rows)

    def _on_disk(self) -> int:
        """The number of rows that all files have; a killed process may have left a part of one."""
        sizes = [os.fstat(self._files[field.name]).st_size // field.row_bytes for field in self._fields]
        return min(os.fstat(self._checksum_file).st_size // 4, *sizes)

    def _map(self, rows: int) -> None:
        for field in self._fields:
            file, shape = self._path / f"{field.name}.bin", (rows, *field.shape)
            # a file without a byte cannot be mapped
            self._arrays[field.name] = (
                np.memmap(file, field.storage, "r", shape=shape) if rows else np.zeros(shape, field.storage)
            )
        if rows:
            self._checksums = np.memmap(self._path / CHECKSUMS, "<u4", "r", shape=(rows,))
        self._checked = np.concatenate([self._checked, np.zeros(rows - len(self._checked), dtype=bool)])


def checksum(parts: list[npt.NDArray[Any]]) -> int:
    """The checksum of a row, of its fields in their order."""
    value = 0
    for part in parts:
        value = zlib.crc32(part.tobytes(), value)
    return value or 1  # 0 means that the row is missing
