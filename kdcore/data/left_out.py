"""Files and folders next to the images of a split that are not read: counted, and reported once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from kdcore.data.layout import ANIMATED, IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDINGS: Final = 8  # listed in a line
_NAMES: Final = 3
_LONGEST: Final = 12  # characters; a longer one is probably not an ending


@dataclass
class LeftOut:
    """Counts and names of everything that is left out, relative to the split.

    Attributes:
        endings: files by their folder in the split (the class, or "") and their ending.
        hidden: folders whose names begin with a dot.
        loops: links to a folder that contains them, or to one that is already counted.
        beside: images next to class folders.
        animated: images that may have several frames, by their ending.
        others: entries that are neither files nor folders; in a tar also links and names that lead out of it.
    """

    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    hidden: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    animated: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    def add_image(self, path: str) -> None:
        """Count an image that may have several frames."""
        if path.lower().endswith(ANIMATED):
            self.animated[ending(path)] += 1

    def add_file(self, path: str) -> None:
        """Count a file whose ending is not supported."""
        folder, _, name = path.rpartition("/")
        self.endings[folder.partition("/")[0], ending(name)] += 1

    def of(self, folder: str) -> str:
        """The endings of one class, such as `3 .gif`; empty if there are none."""
        return _counts(Counter({kind: count for (top, kind), count in self.endings.items() if top == folder}))

    def notes(self, title: str) -> tuple[str, ...]:
        """A line on what is left out, and one on images of which the first frame is read, each if there is any.

        `title` is the split's folder.
        """
        parts = []
        if self.endings:
            kinds: Counter[str] = Counter()
            for (_, kind), count in self.endings.items():
                kinds[kind] += count
            parts.append(f"{_files(kinds.total())} with unsupported endings ({_counts(kinds)})")
        for names, one, many in (
            (self.beside, "image next to the class folders", "images next to the class folders"),
            (self.hidden, "hidden folder", "hidden folders"),
            (
                self.loops,
                "link to a folder that is already counted",
                "links to folders that are already counted",
            ),
            (self.others, "entry that is not a file", "entries that are not files"),
        ):
            if names:
                parts.append(f"{len(names):,} {one if len(names) == 1 else many} ({_named(names)})")
        frames: tuple[str, ...] = ()
        if self.animated:
            files = "1 file" if self.animated.total() == 1 else f"{self.animated.total():,} files"
            frames = (f"{title}: the first frame is used of {files} ({_counts(self.animated)})",)
        if not parts:
            return frames
        read = f"; supported endings: {', '.join(sorted(IMAGES))}" if self.endings else ""
        return (f"{title}: left out: {', '.join(parts)}{read}", *frames)


def ending(name: str) -> str:
    """The ending of a file's name in lower case, or "without ending"."""
    found = PurePosixPath(name).suffix.lower()
    return found if 1 < len(found) <= _LONGEST else "without ending"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _counts(kinds: Counter[str]) -> str:
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count:,} {kind}" for kind, count in ordered[:_ENDINGS])
    rest = sum(count for _, count in ordered[_ENDINGS:])
    return f"{text}, {rest:,} others" if rest else text


def _named(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMES
    return ", ".join(ordered[:_NAMES]) + (f" and {more:,} more" if more > 0 else "")
