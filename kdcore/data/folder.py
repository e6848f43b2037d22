"""A folder of images: ROOT/SPLIT/CLASS/*.jpg, ROOT/CLASS/*.jpg, or unlabelled ones without class folders."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.datasets import ImageFolder

from kdcore.data.layout import check_not_splits, choose_split, is_hidden, is_image
from kdcore.data.source import Files, Names, Source, checked_index, decode, unreadable
from kdcore.errors import Problem, UserError, listed

if TYPE_CHECKING:
    from PIL import Image


class FolderSource(Source):
    """The images of one split folder."""

    fixed = True

    def __init__(self, files: list[str], labels: list[int], classes: tuple[str, ...] | None) -> None:
        self.classes = classes
        self.num_classes = None if classes is None else len(classes)
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.labelled = classes is not None
        self._files = Names(files)
        self._targets = np.array(labels, dtype=np.int64)  # no view: a tensor's memory may be moved

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        index = checked_index(index, len(self))
        return decode(self.content(index), self._files[index], index), int(self._targets[index])

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


def _linked(path: Path, error: OSError) -> OSError:
    """The error, which says so where a link leads to nothing."""
    if not isinstance(error, FileNotFoundError) or not path.is_symlink():
        return error
    return FileNotFoundError(f"it is a link to {path.readlink()}, and nothing is there")


def open_folder(root: Path, split: str, *, where: str) -> FolderSource:
    """The images of a split, in torchvision's ImageFolder order.

    Raises:
        UserError: the folder cannot be listed, the split is not there, a class folder or all of it is empty.
    """
    try:
        folder = root
        if split:
            folders, images = _content(root)
            folder = root / choose_split(split, folders, bool(images), place=str(root), where=where)
        folders, images = _content(folder)
        if not split:
            check_not_splits(folders, place=str(root), where=where)
        if not folders:
            if not images:
                raise UserError(Problem(where, f"{folder} has neither images nor class folders", value=split))
            return FolderSource([str(folder / name) for name in images], [-1] * len(images), None)
        found = _Classes(folder, is_valid_file=is_image, allow_empty=True)
    except OSError as error:
        raise UserError(Problem(where, f"the images cannot be listed: {error}", value=split)) from error
    labels = [label for _, label in found.samples]
    empty = set(range(len(found.classes))) - set(labels)
    if empty:
        names = listed(found.classes[index] for index in empty)
        raise UserError(
            Problem(
                where,
                f"{folder} has class folders without images: {names}",
                value=split,
                hint="Remove the empty folders or add their images.",
            )
        )
    return FolderSource([path for path, _ in found.samples], labels, tuple(found.classes))


class _Classes(ImageFolder):  # type: ignore[misc]  # torchvision is untyped
    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        classes, _ = _content(Path(directory))
        return classes, {name: index for index, name in enumerate(classes)}


def _content(folder: Path) -> tuple[list[str], list[str]]:
    with os.scandir(folder) as entries:
        seen = [(entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name)]
    folders = sorted(name for name, is_dir in seen if is_dir)
    return folders, sorted(name for name, is_dir in seen if not is_dir and is_image(name))
