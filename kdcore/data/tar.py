"""A tar of images with the layout of a folder, read in place: nothing is extracted or unpickled."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.broken import content
from kdcore.data.layout import (
    check_not_splits,
    choose_split,
    class_layout,
    find_split,
    is_hidden,
    is_image,
    is_of_the_system,
)
from kdcore.data.left_out import LeftOut, ending
from kdcore.data.source import Files, Names, Source, checked_index, decode, unreadable
from kdcore.data.unpack import plain_tar
from kdcore.errors import Problem, RunFailed, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

MOST_MEMBERS: Final = 50_000_000
_HEAD: Final = 4096
_CUT: Final = (
    "unexpected end of data",
    "truncated header",
    "empty header",
    "empty file",
)  # errors of Python's tarfile
_LOOKED_BEHIND: Final = 1 << 20  # bytes after a tar's end, where zeros fill its last record


@dataclass
class TarIndex:
    """The content of a tar.

    Attributes:
        images: name -> offset and size of the data.
        unread: other files, by folder and ending.
        hidden: folders whose names begin with a dot.
        others: links, and names that lead out of the archive.
        behind: whether there is more after the end of the tar.
    """

    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    hidden: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    behind: bool = False


class TarSource(Source):
    """The images of one split in an uncompressed tar.

    A forked process can use the open file: `pread` does not use a shared position.
    """

    fixed = True

    def __init__(
        self, tar: Path, title: str, names: list[str], spans: list[tuple[int, int]], labels: list[int]
    ) -> None:
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self._targets = np.array(labels, dtype=np.int64)  # a copy: a tensor's memory may be moved
        self._tar = tar
        self._title = title  # the archive that the user named, which may be the compressed one
        self._names = Names(names)
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 2)
        self._opened: int | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        index = checked_index(index, len(self))
        return decode(self.content(index), self.name(index), index), int(self._targets[index])

    def content(self, index: int) -> bytes:
        """The bytes of the member."""
        offset, size = (int(value) for value in self._spans[index])
        name = self.name(index)
        try:
            data = os.pread(self._descriptor(), size, offset)
        except OSError as error:
            raise unreadable(name, index, error) from error
        if len(data) != size:
            raise RunFailed(f"image {index} cannot be read: {name}: {self._tar} was truncated during the run")
        return data

    def files(self) -> Files:
        """Sizes of all members, and the modification time of the archive."""
        return Files(np.ascontiguousarray(self._spans[:, 1]), self._tar.stat().st_mtime_ns)

    def name(self, index: int) -> str:
        """The archive, and the sample's path in it."""
        return f"{self._title}:{self._names[index]}"

    def key(self, index: int) -> str:
        """The sample's path in the archive."""
        return self._names[index]

    def _descriptor(self) -> int:
        if self._opened is None:
            self._opened = os.open(self._tar, os.O_RDONLY)
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __del__(self) -> None:
        if getattr(self, "_opened", None) is not None:
            os.close(self._descriptor())


def open_tar(path: Path, split: str, *, where: str, dataset_where: str) -> TarSource:
    """The images of a split in a tar; one folder may contain everything.

    Raises:
        UserError: the archive cannot be read, or the split is not in it.
        RunFailed: a compressed archive cannot be unpacked into the cache.
    """
    plain = plain_tar(path, where=dataset_where)
    status = plain.stat()
    try:
        found = _index(plain, status.st_size, status.st_mtime_ns)
    except (tarfile.TarError, OSError, ValueError) as error:
        problem = Problem(dataset_where, f"the tar cannot be read: {_fault(plain, error)}", value=str(path))
        raise UserError(problem) from error
    index = found.images
    if not index:
        kinds = _all_endings(found.unread)
        hint = f"It has {kinds}, which are not supported. Convert them to PNG or JPEG." if kinds else None
        raise UserError(Problem(dataset_where, "the tar has no images", value=str(path), hint=hint))
    front = _front(list(index), split)
    if split:
        below = [name[len(front) :] for name in index if name.startswith(front)]
        folders = {name.partition("/")[0] for name in below if "/" in name}
        images = any("/" not in name for name in below)
        split = choose_split(split, folders, images, place=str(path), where=where)
        front += f"{split}/"
    else:
        below = [name[len(front) :] for name in index]
        check_not_splits(
            {name.partition("/")[0] for name in below if "/" in name}, place=str(path), where=where
        )
    inner, labels, classes = class_layout(name[len(front) :] for name in index if name.startswith(front))
    names = [front + name for name in inner]
    source = TarSource(plain, str(path), names, [index[name] for name in names], labels)
    source.classes = classes
    source.num_classes = None if classes is None else len(classes)
    source.labelled = classes is not None
    source.split = split
    source.notes = _notes(found, front, path, set(names))
    return source


def _fault(plain: Path, error: Exception) -> str:
    with suppress(OSError), plain.open("rb") as file:
        if (known := content(file.read(_HEAD), unidentified=False)) is not None:
            return known
    text = str(error)
    return f"it is truncated ({text})" if text in _CUT else text


def _notes(found: TarIndex, front: str, path: Path, taken: set[str]) -> tuple[str, ...]:
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


@lru_cache(maxsize=4)  # the splits of one archive share its index
def _index(tar: Path, size: int, mtime_ns: int) -> TarIndex:
    """Read all headers.

    Raises:
        ReadError: the tar is truncated, or has too many members.
    """
    index = TarIndex()
    last, members = "its beginning", 0
    with tarfile.open(tar, "r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else every member of the archive stays in memory
            members += 1
            if members > MOST_MEMBERS:
                raise tarfile.ReadError(
                    f"it has more than {MOST_MEMBERS:,} members; split it into smaller ones"
                )
            last = member.name
            if member.isreg() and not member.issparse() and member.offset_data + member.size > size:
                raise tarfile.ReadError(f"it is truncated: it ends within {last}")
            _sort_in(member, index)
        end = archive.offset
    with tar.open("rb") as file:
        file.seek(end)
        block, rest = file.read(tarfile.BLOCKSIZE), file.read(_LOOKED_BEHIND)
    # Python's tarfile silently takes both for the end
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it is truncated: it ends after {last}, without the end mark of a tar")
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"it is damaged: the data after {last} is not a member of a tar")
    index.behind = bool(rest.strip(b"\0"))
    return index


def _sort_in(member: tarfile.TarInfo, index: TarIndex) -> None:
    if member.isdir():
        return
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    # Plain files only: links and absolute paths point outside the archive.
    outside = member.name.startswith(("/", "\\")) or ".." in parts
    if outside or not member.isreg() or member.issparse():
        if (parts and not any(map(is_of_the_system, parts))) or outside:
            index.others.append(member.name)
        return
    for number, part in enumerate(parts[:-1], 1):
        if is_hidden(part):
            if part.startswith("."):
                index.hidden.add("/".join(parts[:number]))
            return
    if not parts or is_of_the_system(parts[-1]):
        return
    if is_image(parts[-1]):
        # of two members with one name the later one counts, as in tar
        index.images["/".join(parts)] = member.offset_data, member.size
    else:
        index.unread["/".join(parts[:-1]), ending(parts[-1])] += 1
