"""A folder of images: ROOT/SPLIT/CLASS/*.jpg, ROOT/CLASS/*.jpg, or unlabelled images without class folders."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kdcore.data.layout import check_not_splits, choose_split
from kdcore.data.left_out import LeftOut
from kdcore.data.litdata import refuse_litdata
from kdcore.data.source import Files, Names, Source, checked_index, decode, unreadable
from kdcore.data.walk import images_below, top_level
from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from kdcore.data.pixels import Decoded


class FolderSource(Source):
    """The images of one split folder."""

    fixed = True

    def __init__(
        self, files: list[str], labels: list[int], classes: tuple[str, ...] | None, root: Path
    ) -> None:
        self.classes = classes
        self.num_classes = None if classes is None else len(classes)
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.labelled = classes is not None
        self._files = Names(files)
        self._root = str(root)
        self._targets = np.array(labels, dtype=np.int64)  # a copy: a tensor's memory may be moved

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Decoded, int]:
        index = checked_index(index, len(self))
        return decode(self.content(index), self._files[index], index, self.rule), int(self._targets[index])

    def content(self, index: int) -> bytes:
        """The file's bytes."""
        name = self._files[index]
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise unreadable(name, index, _linked(Path(name), error)) from error

    def files(self) -> Files:
        """Sizes and times of all files."""
        sizes, latest = np.full(len(self), -1, dtype=np.int64), 0
        for index in range(len(self)):
            with contextlib.suppress(OSError):
                status = os.stat(self._files[index])  # noqa: PTH116  # a Path for each would take as long again
                sizes[index], latest = status.st_size, max(latest, status.st_mtime_ns)
        return Files(sizes, latest)

    def name(self, index: int) -> str:
        """The path of the sample's file."""
        return self._files[index]

    def key(self, index: int) -> str:
        """The path of the sample's file, relative to the data's root."""
        return self._files[index][len(self._root) + 1 :].replace(os.sep, "/")


def _linked(path: Path, error: OSError) -> OSError:
    """The error; if the path is a broken link, the message says so."""
    if not isinstance(error, FileNotFoundError) or not path.is_symlink():
        return error
    return FileNotFoundError(f"it is a link to {path.readlink()}, which does not exist")


def open_folder(root: Path, split: str, *, where: str, labels: bool = True) -> FolderSource:
    """The images of a split, in torchvision's ImageFolder order; without `labels`, folders are not classes.

    Raises:
        UserError: the folder cannot be listed, the split does not exist, a class folder or the whole split is empty.
    """
    left = LeftOut()
    refuse_litdata(root, split, where)
    try:
        folder = root
        if split:
            folders, images = top_level(root, LeftOut())
            split = choose_split(split, folders, bool(images), place=str(root), where=where)
            folder = root / split
        folders, images = top_level(folder, left)
        if not split:
            check_not_splits(folders, place=str(root), where=where)
        found = {name: images_below(folder, name, left) for name in folders}
    except OSError as error:
        raise UserError(Problem(where, f"the images cannot be listed: {error}", value=split)) from error
    if not folders or not labels:
        files = [str(folder / name) for name in images] + [file for below in found.values() for file in below]
        if not files:
            raise _no_images(folder, left, where, split)
        source = FolderSource(files, [-1] * len(files), None, root)
    else:
        if empty := [name for name, files in found.items() if not files]:
            raise _empty_classes(folder, empty, left, where, split)
        left.beside = images
        numbers = [label for label, files in enumerate(found.values()) for _ in files]
        source = FolderSource(
            [file for files in found.values() for file in files], numbers, tuple(folders), root
        )
    source.split, source.notes = split, left.notes(str(folder))
    return source


def _no_images(folder: Path, left: LeftOut, where: str, split: str) -> UserError:
    there = left.of("")
    hint = f"It has {there}, which are not supported. Convert them to PNG or JPEG." if there else None
    return UserError(Problem(where, f"{folder} has neither images nor class folders", value=split, hint=hint))


def _empty_classes(folder: Path, empty: list[str], left: LeftOut, where: str, split: str) -> UserError:
    names = listed(f"{name} ({there}, not supported)" if (there := left.of(name)) else name for name in empty)
    unread = any(left.of(name) for name in empty)
    convert = " Convert unsupported files, for instance to PNG." if unread else ""
    return UserError(
        Problem(
            where,
            f"{folder} has class folders without images: {names}",
            value=split,
            hint=f"Remove the empty folders, or add images to them.{convert}",
        )
    )
