"""Facts about a dataset from its first image and its folders: the size of images, and whether it has splits."""

from __future__ import annotations

import os
import tarfile
import zipfile
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SIZES: Final = {
    "digits": 32,
    "torch/cifar10": 32,
    "torch/cifar100": 32,
    "torch/mnist": 32,
    "torch/fashion_mnist": 32,
}
_SUFFIXES: Final = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".ppm",
    ".bmp",
    ".webp",
    ".gif",
    ".avif",
    ".tif",
    ".tiff",
)
_TRAINING: Final = ("train", "training")
_MOST: Final = 10_000  # members of a tar that are looked at


def image_side(dataset: str, path: Path | None) -> int | None:
    """The side of the dataset's first image, in pixels; None: unknown without reading more."""
    if path is None:
        return _SIZES.get(dataset.lower())
    try:
        for file in _images(path):
            from PIL import Image

            with file, Image.open(file) as image:
                return max(image.size)
    except (OSError, tarfile.TarError, zipfile.BadZipFile):
        pass
    return None


def has_splits(path: Path) -> bool | None:
    """Whether a folder or archive has a split for training; None: unknown, as of a table."""
    try:
        if path.is_dir():
            return any(item.name.lower() in _TRAINING for item in path.iterdir() if item.is_dir())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(_in_training(name) for name in archive.namelist()[:_MOST])
        with tarfile.open(path) as tar:
            for _ in range(_MOST):
                member = tar.next()
                if member is None:
                    break
                if _in_training(member.name):
                    return True
    except (OSError, tarfile.TarError, zipfile.BadZipFile):
        return None
    return False


def _in_training(name: str) -> bool:
    """Whether a member of an archive is in a folder with the name of a split for training."""
    return any(part.lower() in _TRAINING for part in name.split("/")[:-1])


def _hidden(name: str) -> bool:
    """Whether kd leaves out a file or folder of this name."""
    return name.startswith(".") or name == "__MACOSX"


def _images(path: Path) -> Iterator[IO[bytes]]:
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not _hidden(name))
            for name in sorted(files):
                if name.lower().endswith(_SUFFIXES) and not _hidden(name):
                    yield open(os.path.join(folder, name), "rb")  # noqa: PTH118, PTH123, SIM115  # os.walk's names
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist()[:_MOST]:
                if name.lower().endswith(_SUFFIXES) and not any(map(_hidden, name.split("/"))):
                    yield archive.open(name)
    else:
        with tarfile.open(path) as tar:
            for _ in range(_MOST):
                member = tar.next()
                if member is None:
                    return
                if any(map(_hidden, member.name.removeprefix("./").split("/"))):
                    continue
                if member.isfile() and member.name.lower().endswith(_SUFFIXES):
                    file = tar.extractfile(member)
                    if file is not None:
                        yield file
