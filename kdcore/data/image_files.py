"""All images in a folder and below it, whatever its layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.data.left_out import LeftOut
from kdcore.data.walk import images_below, top_level

if TYPE_CHECKING:
    from pathlib import Path


def images_below_folder(folder: Path) -> tuple[list[str], tuple[str, ...]]:
    """The paths of the images in a folder and below it, and what was left out, in one line or none.

    Hidden folders are left out, and links that lead back into the folder.

    Raises:
        OSError: a folder cannot be listed.
    """
    left = LeftOut()
    folders, images = top_level(folder, left)
    found = [str(folder / name) for name in images]
    for name in folders:
        found += images_below(folder, name, left)
    return found, left.notes(str(folder))
