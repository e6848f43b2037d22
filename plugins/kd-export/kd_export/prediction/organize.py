"""`--organize`: a copy of each image in the folder of its class."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from kd_export.prediction.rows import Row

_REFUSED: Final = '%/\\<>:"|?*'


class Organizer:
    """Copies images into FOLDER/CLASS/, with their paths below the folders in which they were found.

    Raises:
        UserError: the folder is not empty, or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = any(folder.iterdir())
        except OSError as error:
            message = f"this folder cannot be used: {error.strerror or error}"
            raise UserError(Problem("--organize", message, str(folder))) from error
        if taken:
            message = "this folder is not empty, and nothing in it is replaced"
            raise UserError(Problem("--organize", message, str(folder), hint="name a new folder"))
        self._folder = folder

    def take(self, row: Row, below: str) -> None:
        """Copy the image of a row.

        Raises:
            UserError: it cannot be copied.
        """
        place = self._folder / class_folder(row["class"]) / _inside(below)
        number = 1
        free = place
        while free.exists():  # two images of the same name from different folders
            number += 1
            free = place.with_stem(f"{place.stem}-{number}")
        try:
            free.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(row["path"], free)
        except OSError as error:
            message = f"{row['path']} cannot be copied to {free}: {error.strerror or error}"
            raise UserError(Problem("--organize", message)) from error


def class_folder(name: str) -> str:
    """A class's name as the name of one folder: what some file systems do not take is percent-encoded."""
    safe = "".join(
        char if char.isprintable() and char not in _REFUSED else quote(char, safe="") for char in name
    )
    if not safe:
        return "%00"
    # Windows drops dots and spaces at the end, and '..' leads upwards
    end = len(safe.rstrip(". "))
    return safe[:end] + "".join(f"%{ord(char):02X}" for char in safe[end:])


def _inside(below: str) -> Path:
    """A relative path without steps upwards."""
    return Path(*[part for part in Path(below).parts if part not in ("..", "/", "\\")])
