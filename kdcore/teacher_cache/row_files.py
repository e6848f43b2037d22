"""The files of a cache's rows: a binary file for each field, and the checksums of the rows."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kdcore.teacher_cache.manifest import CHECKSUMS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from kdcore.teacher_cache.manifest import Manifest
    from kdcore.teacher_cache.rows import Field

EMPTY: Final = 0  # the checksum of a missing row


class RowFiles:
    """Rows by their numbers.

    A row is valid once its checksum is written, after its numbers, and as long as the two match.

    Attributes:
        damaged: how many rows with a wrong checksum were met.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.damaged = 0
        self._fields = manifest.fields
        self._files = {
            field.name: os.open(path / f"{field.name}.bin", os.O_RDWR) for field in manifest.fields
        }
        self._arrays: dict[str, npt.NDArray[Any]] = {
            field.name: np.memmap(
                path / f"{field.name}.bin",
                field.storage,
                "r",
                shape=(manifest.rows, *field.shape),
            )
            for field in manifest.fields
        }
        self._checksum_file = os.open(path / CHECKSUMS, os.O_RDWR)
        self._checksums: npt.NDArray[Any] = np.memmap(path / CHECKSUMS, "<u4", "r", shape=(manifest.rows,))
        self._checked = np.zeros(manifest.rows, dtype=bool)  # each row once per process

    def filled(self) -> npt.NDArray[np.int64]:
        """The numbers of the rows that have a checksum."""
        found: npt.NDArray[np.int64] = np.flatnonzero(self._checksums)
        return found

    def there(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows are filled and valid; each process checks a row once."""
        there = self._checksums[rows] != EMPTY
        for place in np.flatnonzero(there & ~self._checked[rows]):
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
                os.pwrite(self._files[field.name], content[place].tobytes(), int(row) * field.row_bytes)
        for place, row in enumerate(rows):
            value = checksum([values[field.name][place] for field in self._fields])
            os.pwrite(self._checksum_file, value.to_bytes(4, "little"), 4 * int(row))
        self._checked[rows] = True

    def close(self) -> None:
        """Close the files; the system writes the data even if the process is killed."""
        for handle in (*self._files.values(), self._checksum_file):
            os.fsync(handle)
            os.close(handle)
        self._files.clear()


def checksum(parts: list[npt.NDArray[Any]]) -> int:
    """The checksum of a row, of its fields in their order."""
    value = 0
    for part in parts:
        value = zlib.crc32(part.tobytes(), value)
    return value or 1  # 0 means that the row is missing
