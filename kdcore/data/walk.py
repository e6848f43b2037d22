"""List the images of a folder: links are followed, but not in circles, and hidden folders are left out."""

from __future__ import annotations

import errno
import os
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from kdcore.data.layout import is_hidden, is_image, is_of_the_system, needs_no_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdcore.data.left_out import LeftOut

Place = tuple[int, int]
"""Device and number of a folder: the same for all names that lead to it."""


def top_level(folder: Path, left: LeftOut) -> tuple[list[str], list[str]]:
    """The names of a split's folders and of the images in it, sorted; `left` counts everything else.

    Raises:
        OSError: the folder cannot be listed.
    """
    above = set(_above(folder))
    folders, images = [], []
    for entry in _listed(folder):
        if not _is_dir(entry):
            if _take(entry, entry.name, left):
                images.append(entry.name)
        elif is_hidden(entry.name):
            _note_hidden(entry.name, left)
        elif entry.is_symlink() and _place(entry.path) in above:
            left.loops.append(entry.name)
        else:
            folders.append(entry.name)
    return folders, images


def images_below(split: Path, name: str, left: LeftOut) -> list[str]:
    """The paths of all images in a folder of the split and below it, in the order of torchvision's ImageFolder.

    A link to a folder is followed, unless that folder is counted anyway: a folder that contains the link (which would
    never end), another class of this split, or a folder that was reached by another link.

    Raises:
        OSError: a folder cannot be listed.
    """
    seen = set(_above(split))
    real = split.resolve()
    found: list[tuple[str, str]] = []
    links = [name]  # links come after real folders: if a folder has two names, its images get the real one
    while links:
        start = links.pop(0)
        place = _place(split / start)
        if place in seen or (start != name and _has_a_class(split / start, real)):
            left.loops.append(start)
            continue
        seen.add(place)
        waiting = [start]
        while waiting:
            inside = waiting.pop()
            folder = str(split / inside)
            for entry in _listed(folder):
                path = f"{inside}/{entry.name}"
                if not _is_dir(entry):
                    if _take(entry, path, left):
                        found.append((folder, entry.name))
                elif is_hidden(entry.name):
                    _note_hidden(path, left)
                elif entry.is_symlink():
                    links.append(path)
                elif (place := _place(entry.path)) not in seen:
                    seen.add(place)
                    waiting.append(path)
    return [os.path.join(folder, file) for folder, file in sorted(found)]  # noqa: PTH118  # a million times


def _has_a_class(link: Path, split: Path) -> bool:
    """Whether a link leads to a class folder of its own split, or into one."""
    target = link.resolve()
    return target.is_relative_to(split) and not any(map(is_hidden, target.relative_to(split).parts))


def _listed(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=attrgetter("name"))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link to itself leads nowhere


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to a file, or a broken link."""
    if entry.is_symlink():
        path = Path(entry.path)
        return path.is_file() or not path.exists()
    return entry.is_file()


def _take(entry: os.DirEntry[str], path: str, left: LeftOut) -> bool:
    """Whether an entry that is not a folder is an image; a broken link is one, and cannot be read later."""
    image = is_image(entry.name)
    if not image and is_of_the_system(entry.name):
        return False
    if not _is_file(entry):
        left.others.append(path)  # reading a pipe would never end
        return False
    if image:
        left.add_image(path)
    else:
        left.add_file(path)
    return image


def _note_hidden(path: str, left: LeftOut) -> None:
    if not needs_no_note(path.rpartition("/")[2]):
        left.hidden.append(path)


def _above(folder: Path) -> Iterator[Place]:
    """The folder itself and all folders that contain it."""
    real = folder.resolve()
    for one in (real, *real.parents):
        yield _place(one)


def _place(path: str | Path) -> Place:
    status = os.stat(path)  # noqa: PTH116  # of a path that may be a string
    return status.st_dev, status.st_ino
