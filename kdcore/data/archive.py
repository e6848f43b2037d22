"""What the archives of images have in common: what is in one, and which of it is a split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kdcore.data.layout import (
    check_not_splits,
    choose_split,
    class_layout,
    find_split,
    is_hidden,
    is_image,
    is_of_the_system,
    needs_no_note,
    without_classes,
)
from kdcore.data.left_out import LeftOut, ending
from kdcore.errors import Problem, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.data.source import Source


@dataclass
class ArchiveIndex:
    """The content of an archive.

    Attributes:
        images: name -> the numbers by which its data is found.
        unread: other files, by folder and ending.
        hidden: folders whose names begin with a dot.
        others: links, and names that lead out of the archive.
        behind: whether there is more after the end of a tar.
    """

    images: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    hidden: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    behind: bool = False

    def add(self, name: str, place: tuple[int, ...], *, plain: bool) -> None:
        """Sort a member in, unless it is a folder.

        Args:
            name: as the archive has it.
            place: the numbers by which its data is found.
            plain: whether it is a file, not a link or a device.
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        outside = name.startswith(("/", "\\")) or ".." in parts
        if outside or not plain:
            if (parts and not any(map(is_of_the_system, parts))) or outside:
                self.others.append(name)
            return
        for number, part in enumerate(parts[:-1], 1):
            if is_hidden(part):
                if not needs_no_note(part):
                    self.hidden.add("/".join(parts[:number]))
                return
        if not parts or is_of_the_system(parts[-1]):
            return
        if is_image(parts[-1]):
            # of two members with one name the later one counts, as in tar
            self.images["/".join(parts)] = place
        else:
            self.unread["/".join(parts[:-1]), ending(parts[-1])] += 1


class Chosen(NamedTuple):
    """The images of a split: their names, labels, classes; the name of the split, and its folder in the archive."""

    names: list[str]
    labels: list[int]
    classes: tuple[str, ...] | None
    split: str
    front: str


def chosen_images(
    found: ArchiveIndex,
    path: Path,
    split: str,
    *,
    where: str,
    dataset_where: str,
    with_classes: bool = True,
) -> Chosen:
    """The images of a split; one folder may contain everything. Folders are classes if `with_classes`.

    Raises:
        UserError: there are no images, or the split is not there.
    """
    index = found.images
    if not index:
        kinds = _all_endings(found.unread)
        hint = f"It has {kinds}, which are not supported. Convert them to PNG or JPEG." if kinds else None
        kind = "zip" if path.suffix.lower() == ".zip" else "tar"
        raise UserError(Problem(dataset_where, f"the {kind} has no images", value=str(path), hint=hint))
    front = _front(list(index), split)
    below = [name[len(front) :] for name in index if name.startswith(front)]
    folders = {name.partition("/")[0] for name in below if "/" in name}
    if split:
        images = any("/" not in name for name in below)
        split = choose_split(split, folders, images, place=str(path), where=where)
        front += f"{split}/"
    else:
        check_not_splits(folders, place=str(path), where=where)
    within = [name[len(front) :] for name in index if name.startswith(front)]
    inner, labels, classes = class_layout(within) if with_classes else without_classes(within)
    return Chosen([front + name for name in inner], labels, classes, split, front)


def describe(source: Source, chosen: Chosen, found: ArchiveIndex, path: Path) -> None:
    """Set a source's classes, the name of its split, and the notes on what is left out."""
    source.classes = chosen.classes
    source.num_classes = None if chosen.classes is None else len(chosen.classes)
    source.labelled = chosen.classes is not None
    source.split = chosen.split
    source.notes = _notes(found, chosen.front, path, set(chosen.names))


def _notes(found: ArchiveIndex, front: str, path: Path, taken: set[str]) -> tuple[str, ...]:
    left = LeftOut()
    for (folder, kind), count in found.unread.items():
        if f"{folder}/".startswith(front):
            left.endings[f"{folder}/"[len(front) :].partition("/")[0], kind] += count
    left.hidden = [name[len(front) :] for name in found.hidden if name.startswith(front)]
    left.others = [name[len(front) :] for name in found.others if name.startswith(front)]
    left.beside = [
        name[len(front) :] for name in found.images if name.startswith(front) and name not in taken
    ]
    for name in taken:
        left.add_image(name)
    notes = left.notes(f"{path}:{front}".rstrip("/:"))
    if found.behind:
        notes += (
            f"{path}: the tar has more data after its end, which is not read; was it made by joining several tars?",
        )
    return notes


def _all_endings(unread: Counter[tuple[str, str]]) -> str:
    kinds = LeftOut()
    for (_, kind), count in unread.items():
        kinds.endings["", kind] += count
    return kinds.of("")


def _front(names: list[str], split: str) -> str:
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(tops) != 1 or tops == {""} or (split and find_split(split, tops)):
        return ""
    return tops.pop() + "/"
