"""A tar of images, laid out like a folder of them and read in place: nothing is extracted or unpickled."""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kdcore.data.layout import check_not_splits, choose_split, class_layout, find_split, is_hidden, is_image
from kdcore.data.source import Files, Names, Source, checked_index, decode, unreadable
from kdcore.data.unpack import plain_tar
from kdcore.errors import Problem, RunFailed, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

Index = dict[str, tuple[int, int]]  # name -> offset and size of the data


class TarSource(Source):
    """The images of one split in an uncompressed tar.

    A forked process may go on with the open file: `pread` has no position that they could share.
    """

    fixed = True

    def __init__(
        self, tar: Path, title: str, names: list[str], spans: list[tuple[int, int]], labels: list[int]
    ) -> None:
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self._targets = np.array(labels, dtype=np.int64)  # no view: a tensor's memory may be moved
        self._tar = tar
        self._title = title  # the archive that the user gave, which may be the compressed one
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
            raise RunFailed(f"image {index} cannot be read: {name}: {self._tar} was cut off during the run")
        return data

    def files(self) -> Files:
        """Sizes of all members, and when the archive was written."""
        return Files(np.ascontiguousarray(self._spans[:, 1]), self._tar.stat().st_mtime_ns)

    def name(self, index: int) -> str:
        """The archive and the sample's path in it."""
        return f"{self._title}:{self._names[index]}"

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
    """The images of a split in a tar, which may have one folder in front of everything.

    Raises:
        UserError: the archive cannot be read, or the split is not in it.
        RunFailed: a compressed archive cannot be unpacked into the cache.
    """
    plain = plain_tar(path, where=dataset_where)
    status = plain.stat()
    try:
        index = _index(plain, status.st_size, status.st_mtime_ns)
    except (tarfile.TarError, OSError, ValueError) as error:
        problem = Problem(dataset_where, f"the tar cannot be read: {error}", value=str(path))
        raise UserError(problem) from error
    if not index:
        raise UserError(Problem(dataset_where, "the tar has no images", value=str(path)))
    front = _front(list(index), split)
    if split:
        below = [name[len(front) :] for name in index if name.startswith(front)]
        folders = {name.partition("/")[0] for name in below if "/" in name}
        images = any("/" not in name for name in below)
        front += choose_split(split, folders, images, place=str(path), where=where) + "/"
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
    return source


def _front(names: list[str], split: str) -> str:
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    if len(tops) != 1 or tops == {""} or (split and find_split(split, tops)):
        return ""
    return tops.pop() + "/"


@lru_cache(maxsize=4)  # the splits of one archive share its index
def _index(tar: Path, size: int, mtime_ns: int) -> Index:
    index: Index = {}
    with tarfile.open(tar, "r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else every member of the archive stays in memory
            name = _safe_name(member)
            if name is None:
                continue
            if member.offset_data + member.size > size:
                raise tarfile.ReadError(f"it is cut off in {name}")
            index[name] = (
                member.offset_data,
                member.size,
            )  # of two with one name the later counts, as in tar
    return index


def _safe_name(member: tarfile.TarInfo) -> str | None:
    # Plain files only: links and absolute paths point outside the archive.
    if not member.isreg() or member.issparse() or member.name.startswith(("/", "\\")):
        return None
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if not parts or any(is_hidden(part) for part in parts):  # ".." is one of those
        return None
    return "/".join(parts) if is_image(parts[-1]) else None
