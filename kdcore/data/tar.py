"""A tar of images with the layout of a folder, read in place: nothing is extracted or unpickled."""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from kdcore.data.archive import ArchiveIndex, chosen_images, describe
from kdcore.data.source import Files, Names, Source, checked_index, decode, unreadable
from kdcore.data.tar_members import fault, members, more_behind
from kdcore.data.unpack import plain_tar
from kdcore.errors import Problem, RunFailed, UserError
from kdcore.rundir.positions import open_at, read_at

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.data.pixels import Decoded

MOST_MEMBERS: Final = 50_000_000


class TarSource(Source):
    """The images of one split in an uncompressed tar.

    A forked process can use the open file: reading at a position does not use a shared one.
    """

    fixed = True
    _columns = 2

    def __init__(
        self, tar: Path, title: str, names: list[str], spans: list[tuple[int, ...]], labels: list[int]
    ) -> None:
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self._targets = np.array(labels, dtype=np.int64)  # a copy: a tensor's memory may be moved
        self._tar = tar
        self._title = title  # the archive that the user named, which may be the compressed one
        self._names = Names(names)
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, self._columns)
        self._opened: int | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        return decode(self.content(index), self.name(index), index, self.rule), int(self._targets[index])

    def content(self, index: int) -> bytes:
        """The bytes of the member."""
        offset, size = (int(value) for value in self._spans[index])
        name = self.name(index)
        try:
            data = read_at(self._descriptor(), size, offset)
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
            self._opened = open_at(self._tar)
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __del__(self) -> None:
        if getattr(self, "_opened", None) is not None:
            os.close(self._descriptor())


def open_tar(path: Path, split: str, *, where: str, dataset_where: str, labels: bool = True) -> TarSource:
    """The images of a split in a tar; one folder may contain everything. Without `labels`, folders are not classes.

    Raises:
        UserError: the archive cannot be read, or the split is not in it.
        RunFailed: a compressed archive cannot be unpacked into the cache.
    """
    plain = plain_tar(path, where=dataset_where)
    status = plain.stat()
    try:
        found = _index(plain, status.st_size, status.st_mtime_ns)
    except (tarfile.TarError, OSError, ValueError) as error:
        problem = Problem(dataset_where, f"the tar cannot be read: {fault(plain, error)}", value=str(path))
        raise UserError(problem) from error
    chosen = chosen_images(found, path, split, where=where, dataset_where=dataset_where, with_classes=labels)
    spans = [found.images[name] for name in chosen.names]
    source = TarSource(plain, str(path), chosen.names, spans, chosen.labels)
    describe(source, chosen, found, path)
    return source


@lru_cache(maxsize=4)  # the splits of one archive share its index
def _index(tar: Path, size: int, mtime_ns: int) -> ArchiveIndex:
    """Read all headers.

    Raises:
        ReadError: the tar is truncated or damaged, or has too many members.
    """
    index = ArchiveIndex()
    with tarfile.open(tar, "r:") as archive:
        for number, member in enumerate(members(archive, tar, size), 1):
            if number > MOST_MEMBERS:
                raise tarfile.ReadError(
                    f"it has more than {MOST_MEMBERS:,} members; split it into smaller ones"
                )
            _sort_in(member, index)
        index.behind = more_behind(archive, tar)
    return index


def _sort_in(member: tarfile.TarInfo, index: ArchiveIndex) -> None:
    if member.isdir():
        return
    # Plain files only: links and absolute paths point outside the archive.
    plain = member.isreg() and not member.issparse()
    index.add(member.name, (member.offset_data, member.size), plain=plain)
