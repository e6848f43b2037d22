"""Rules for folders and tars of images: which names are images, and which folder is which split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kdcore.errors import Problem, UserError, listed, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

IMAGES: Final = (
    ".apng",
    ".avif",
    ".avifs",
    ".bmp",
    ".bw",
    ".dds",
    ".dib",
    ".gif",
    ".icb",
    ".icns",
    ".ico",
    ".j2c",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpc",
    ".jpe",
    ".jpeg",
    ".jpf",
    ".jpg",
    ".jpx",
    ".mpo",
    ".msp",
    ".npy",
    ".pbm",
    ".pcx",
    ".pfm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".qoi",
    ".ras",
    ".rgb",
    ".rgba",
    ".sgi",
    ".tga",
    ".tif",
    ".tiff",
    ".vda",
    ".vst",
    ".webp",
    ".xbm",
    ".xpm",
)
"""Endings of the formats for still images that Pillow reads by itself, without other programs; and NumPy's arrays."""
ANIMATED: Final = (".apng", ".avifs", ".gif", ".mpo")
"""Those of them that usually have several frames."""

_MACOSX: Final = "__MACOSX"
_FOLDERS_OF_SYSTEMS: Final = (
    _MACOSX,
    "@eaDir",  # a Synology NAS keeps small copies of the images there
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
)

# Tried in this order: the same name, a synonym, any folder for evaluation.
_SAME: Final = (
    ("train", "training"),
    ("val", "valid", "validation", "eval", "evaluation"),
    ("test", "testing"),
)
_EVALUATION: Final = _SAME[1] + _SAME[2]


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the system and not to the data ('.DS_Store', '._0001.jpg', '@eaDir')."""
    return name.startswith(".") or name in _FOLDERS_OF_SYSTEMS


def needs_no_note(folder: str) -> bool:
    """Whether a hidden folder has nothing that anybody could miss: no images, only what macOS knows of them."""
    return folder == _MACOSX


def is_of_the_system(name: str) -> bool:
    """Whether the system created a file or folder, so that it needs no note."""
    return is_hidden(name) or name.lower() in ("thumbs.db", "desktop.ini")


def is_image(path: str) -> bool:
    """Whether a path has the ending of an image."""
    return path.lower().endswith(IMAGES) and not is_hidden(path.rpartition("/")[2])


def find_split(split: str, folders: Collection[str]) -> tuple[str, ...]:
    """The folders that may be the split: one if it is clear, several if not, none if it is missing."""
    if split in folders:
        return (split,)
    word = split.lower()
    tiers: list[tuple[str, ...]] = [(word,)]
    tiers += [group for group in _SAME if word in group]
    tiers += [_EVALUATION] if word in _EVALUATION else []
    for tier in tiers:
        found = tuple(sorted(folder for folder in folders if folder.lower() in tier))
        if found:
            return found
    return ()


def choose_split(split: str, folders: Collection[str], images: bool, *, place: str, where: str) -> str:
    """The folder of the split, for a place with these folders and perhaps images next to them.

    Raises:
        UserError: no folder fits the split, or several do.
    """
    found = find_split(split, folders)
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{place} does not have a folder of this name, but several that may be meant"
        raise UserError(
            Problem(where, message, value=split, allowed=listed(found), hint="Choose one of them.")
        )
    there = listed(folders) if folders else ("images, no folders" if images else "nothing")
    raise UserError(
        Problem(
            where,
            f"{place} does not have a folder for this split",
            value=split,
            allowed=f"{there}",
            nearest=nearest(split, folders),
            hint=_instead(place, where, flat=images and not folders),
        )
    )


def _instead(place: str, where: str, *, flat: bool) -> str:
    """A hint about what the user may have meant by a missing split."""
    itself = f'If the class folders (or the images) are directly in {place}, set this to "".'
    if not where.endswith("eval_split"):
        return itself
    if flat:
        return "In a spec, null turns evaluation off: these images have no labels, and accuracy needs labels."
    return f"In a spec, null trains without evaluation images. {itself}"


def check_not_splits(folders: Collection[str], *, place: str, where: str) -> None:
    """Raise UserError if the split is "" and the folders have the names of splits, not of classes."""
    words = {word for group in _SAME for word in group}
    if folders and words.issuperset(folder.lower() for folder in folders):
        raise UserError(Problem(where, f"{place} contains splits: choose one", "", listed(folders)))


def class_layout(paths: Iterable[str]) -> tuple[list[str], list[int], tuple[str, ...] | None]:
    """Image paths below a split in a fixed order, their labels, and the classes.

    Paths are `CLASS/.../file`, in ImageFolder's order: by class, folder, file. If no path has a folder, the
    images are unlabelled: labels -1, classes None. Images next to class folders are left out.
    """
    known = list(paths)
    nested = [path for path in known if "/" in path]
    if not nested:
        return without_classes(known)
    classes = sorted({path.partition("/")[0] for path in nested})
    number = {name: index for index, name in enumerate(classes)}

    def key(path: str) -> tuple[str, str, str]:
        folder, _, file = path.rpartition("/")
        return path.partition("/")[0], folder, file

    nested.sort(key=key)
    return nested, [number[path.partition("/")[0]] for path in nested], tuple(classes)


def without_classes(paths: Iterable[str]) -> tuple[list[str], list[int], None]:
    """Image paths below a split in a fixed order, those in its own folder first, all unlabelled: labels -1."""
    ordered = sorted(paths, key=lambda path: ("/" in path, path.rpartition("/")[0], path))
    return ordered, [-1] * len(ordered), None
